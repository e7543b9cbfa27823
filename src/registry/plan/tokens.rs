//! The checks of writes of tokens.

use std::sync::Arc;

use crate::model::{Limit, Token, TokenId};
use crate::registry::op::Op;
use crate::registry::plan::Planner;
use crate::registry::refusal::Refusal;

impl Planner<'_> {
    pub(super) fn add_token(&mut self, token: Arc<Token>) -> Result<Vec<Op>, Refusal> {
        let max = self.policy.limits.tokens;
        if self.state.tokens.len() + self.overlay.tokens >= max {
            return Err(Refusal::Limit { name: Limit::Tokens, max });
        }
        self.overlay.tokens += 1;
        Ok(vec![Op::Token { id: token.id(), token: Some(token) }])
    }

    pub(super) fn revoke_token(&self, id: TokenId) -> Result<Vec<Op>, Refusal> {
        if self.state.tokens.get(id).is_none() {
            return Err(Refusal::UnknownToken(id));
        }
        Ok(vec![Op::Token { id, token: None }])
    }
}
