//! The tokens there are, as readers see them: one immutable set, published as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

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

/// The tokens in force, and a bell that rings when they are others.
#[derive(Debug)]
pub(crate) struct Board {
    tokens: ArcSwap<Tokens>,
    bell: watch::Sender<()>,
}

impl Board {
    /// Without any.
    pub(crate) fn new() -> Self {
        Self { tokens: ArcSwap::default(), bell: watch::Sender::new(()) }
    }

    /// All of them.
    pub(crate) fn read(&self) -> Arc<Tokens> {
        self.tokens.load_full()
    }

    /// Puts these in force, and rings when they are others.
    pub(crate) fn publish(&self, tokens: &Arc<Tokens>) {
        if !Arc::ptr_eq(&self.tokens.load(), tokens) {
            self.tokens.store(Arc::clone(tokens));
            self.bell.send_replace(());
        }
    }

    /// What rings.
    pub(crate) fn bell(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }
}
