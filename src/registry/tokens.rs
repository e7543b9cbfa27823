//! The tokens there are, as readers see them: one immutable set, published as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Token, TokenHash, TokenId};

/// All tokens.
#[derive(Debug, Clone, Default)]
pub struct Tokens(BTreeMap<TokenId, Arc<Token>>);

impl Tokens {
    /// The token that `text` is, unless it is over at `now` (time since 1970). `None` takes as long
    /// whatever the reason, as far as anybody could make use of it: which ids there are is told by
    /// the beginnings of hashes, and nobody can choose what a text hashes to.
    #[must_use]
    pub fn find(&self, text: &str, now: Duration) -> Option<&Arc<Token>> {
        let hash = TokenHash::of(text);
        let token = self.0.get(&hash.id())?;
        (token.hash.is(&hash) && !token.expired(now)).then_some(token)
    }

    /// The token of that id.
    #[must_use]
    pub fn get(&self, id: TokenId) -> Option<&Arc<Token>> {
        self.0.get(&id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Token>> {
        self.0.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is an admin's at `now`, as time since 1970.
    #[must_use]
    pub fn has_admin(&self, now: Duration) -> bool {
        self.iter().any(|token| token.identity.is_admin() && !token.expired(now))
    }

    /// Makes the token of `id` this one.
    pub(crate) fn set(&mut self, id: TokenId, token: Option<Arc<Token>>) {
        match token {
            Some(token) => self.0.insert(id, token),
            None => self.0.remove(&id),
        };
    }
}

impl FromIterator<Arc<Token>> for Tokens {
    fn from_iter<I: IntoIterator<Item = Arc<Token>>>(tokens: I) -> Self {
        Self(tokens.into_iter().map(|token| (token.id(), token)).collect())
    }
}
