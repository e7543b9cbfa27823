//! Tokens: what is known of one, and how a text is told to be it.
//!
//! A token is a secret of 256 random bits, so that its hash needs no salt and no slowness: nobody
//! finds by trying what it was made of. Only the hash is kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::model::duration::DurationText;
use crate::model::identity::Identity;
use crate::model::instance::SpecError;
use crate::model::name::Label;
use crate::model::network::Network;
use crate::model::scope::{Scope, Scopes};
use crate::model::service_pattern::ServicePattern;

/// What is known of a token: everything but the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whom it stands for, and what it is good for. Several tokens may stand for one.
    #[serde(flatten)]
    pub identity: Identity,
    /// What the token hashes to.
    pub hash: TokenHash,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it ends, in seconds since 1970; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

impl Token {
    /// What people call it by.
    #[must_use]
    pub fn id(&self) -> TokenId {
        self.hash.id()
    }

    /// Whether it is over at `now`, as time since 1970.
    #[must_use]
    pub fn expired(&self, now: Duration) -> bool {
        self.expires.is_some_and(|expires| now.as_secs() >= expires)
    }
}

/// What a token is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with the fields of a token")]
pub struct TokenSpec {
    /// Whom it stands for.
    pub name: Label,
    /// What it is good for; at least one thing.
    #[schema(value_type = Vec<Scope>, min_items = 1)]
    pub scopes: Scopes,
    /// Whose instances it may register; one at least with the scope register.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub services: Vec<ServicePattern>,
    /// Where the addresses are that it may register.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub networks: Vec<Network>,
    /// How long it holds, 1s-3650d; without: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<DurationText>,
}

impl TokenSpec {
    /// The token of `secret`, made at `now` (time since 1970).
    ///
    /// # Errors
    /// When the fields contradict each other or exceed their limits; the error names the field.
    pub fn build(self, secret: &Secret, now: Duration) -> Result<Token, SpecError> {
        let Self { name, scopes, services, networks, ttl } = self;
        let identity = Identity { name, scopes, services, networks }.checked()?;
        let created = now.as_secs();
        let expires = match ttl {
            None => None,
            Some(ttl) if (SHORTEST..=LONGEST).contains(&ttl.0) => {
                // No sooner than was asked for.
                Some(created + ttl.0.as_secs() + 1)
            }
            Some(ttl) => {
                let reason = format!("{ttl} is out of range, 1s-3650d is allowed");
                return Err(SpecError::new("ttl", reason));
            }
        };
        let hash = TokenHash::of(secret.as_str());
        Ok(Token { identity, hash, created, expires })
    }
}

/// A token itself. Shown once, to who made it; never kept or logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The token of these random bits.
    #[must_use]
    pub fn of(random: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", Hex(&random)))
    }

    /// Its text, to be told to who made it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a token hashes to, by SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// What `text` hashes to.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(hash)
    }

    /// What the token is called by: the beginning of this, which tells nothing of the token.
    #[must_use]
    pub fn id(&self) -> TokenId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[..8]);
        TokenId(u64::from_be_bytes(id))
    }

    /// Whether both are the same; takes as long whatever they have in common.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}..)", self.id())
    }
}

impl TryFrom<String> for TokenHash {
    type Error = TokenTextError;
    fn try_from(text: String) -> Result<Self, TokenTextError> {
        let mut hash = [0; 32];
        let digits = text.as_bytes();
        let legal = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
        for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            let pair = text.get(at..at + 2).filter(|_| legal).ok_or(TokenTextError::Hash)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| TokenTextError::Hash)?;
        }
        Ok(Self(hash))
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        Hex(&hash.0).to_string()
    }
}

/// What a token is called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(u64);

/// Why a text is none of a token's parts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenTextError {
    /// No id.
    #[error("{0:?} is not the id of a token, which is 16 hexadecimal digits")]
    Id(String),
    /// No hash.
    #[error("not a hash, which is 64 hexadecimal digits")]
    Hash,
}

impl FromStr for TokenId {
    type Err = TokenTextError;
    fn from_str(text: &str) -> Result<Self, TokenTextError> {
        let legal = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = legal.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or_else(|| TokenTextError::Id(text.to_owned()))
    }
}

impl TryFrom<String> for TokenId {
    type Error = TokenTextError;
    fn try_from(text: String) -> Result<Self, TokenTextError> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Bytes in hexadecimal digits.
struct Hex<'b>(&'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What tokens begin with, so that those who look for secrets that were let slip find them.
const PREFIX: &str = "signpost_";
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> TokenSpec {
        serde_json::from_str(json).unwrap()
    }

    fn built(json: &str) -> Result<Token, String> {
        let token = spec(json).build(&Secret::of([7; 32]), Duration::from_secs(1_000));
        token.map_err(|error| error.field)
    }

    #[test]
    fn a_hash_is_that_of_sha_256_and_reads_back() {
        let hash = TokenHash::of("abc");

        // FIPS 180-2 appendix B.1.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(String::from(hash), text);
        assert_eq!(TokenHash::try_from(text.to_owned()), Ok(hash));
        assert_eq!(hash.id().to_string(), "ba7816bf8f01cfea");
        assert_eq!("ba7816bf8f01cfea".parse(), Ok(hash.id()));
        assert!(hash.is(&TokenHash::of("abc")) && !hash.is(&TokenHash::of("abd")));
        for text in ["", "ba78", "+a7816bf8f01cfea", "ba7816bf8f01cfeg", "ba7816bf8f01cfea0"] {
            assert!(text.parse::<TokenId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_has_all_its_bits_and_does_not_print_itself() {
        let secret = Secret::of([0xab; 32]);

        assert_eq!(secret.as_str(), format!("signpost_{}", "ab".repeat(32)));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_field() {
        for (json, field) in [
            (r#"{"name":"a","scopes":["register"]}"#, "services"),
            (r#"{"name":"a","scopes":["read"],"ttl":"0s"}"#, "ttl"),
            (r#"{"name":"a","scopes":["read"],"ttl":"3651d"}"#, "ttl"),
        ] {
            assert_eq!(built(json), Err(field.to_owned()), "{json}");
        }
    }

    #[test]
    fn a_token_ends_when_its_time_is_over() {
        let token = built(r#"{"name":"a","scopes":["read"],"ttl":"10s"}"#).unwrap();

        assert!(!token.expired(Duration::from_secs(1_010)));
        assert!(token.expired(Duration::from_secs(1_011)));
        let endless = built(r#"{"name":"a","scopes":["read"]}"#).unwrap();
        assert!(!endless.expired(Duration::MAX));
    }

    #[test]
    fn a_token_reads_back_and_one_of_a_later_version_does_not() {
        let token = built(
            r#"{"name":"a","scopes":["register"],"services":["web"],"networks":["10.0.0.0/8"]}"#,
        )
        .unwrap();
        let mut json = serde_json::to_value(&token).unwrap();

        assert_eq!(json["name"], "a");
        assert_eq!(serde_json::from_value::<Token>(json.clone()).unwrap(), token);
        json["more"] = 1.into();
        assert!(serde_json::from_value::<Token>(json).is_err());
    }
}
