//! On whose behalf something is written, and what that may write which somebody else owns.

use crate::model::name::Label;

/// Who asks for a write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Actor {
    /// Nobody in particular, where nobody has to say who they are.
    #[default]
    Anyone,
    /// Who may write what others own.
    Admin(Label),
    /// Who may write what nobody else owns.
    Client(Label),
}

impl Actor {
    /// Whether it may write what `owner` owns; `None` owns nothing.
    ///
    /// | | owned by itself, by nobody | by somebody else |
    /// |---|---|---|
    /// | `Anyone`, `Admin` | yes | yes |
    /// | `Client` | yes | no |
    #[must_use]
    pub fn may_write(&self, owner: Option<&Label>) -> bool {
        match self {
            Self::Anyone | Self::Admin(_) => true,
            Self::Client(name) => owner.is_none_or(|owner| owner == name),
        }
    }

    /// Who owns what it registers, where `before` is what there was: `None` for nothing, else its
    /// owner. An owner stays; what has none becomes a client's.
    #[must_use]
    pub fn owner(&self, before: Option<Option<&Label>>) -> Option<Label> {
        match (self, before) {
            (_, Some(Some(owner))) => Some(owner.clone()),
            (Self::Client(name), None | Some(None)) | (Self::Admin(name), None) => {
                Some(name.clone())
            }
            (Self::Anyone, None | Some(None)) | (Self::Admin(_), Some(None)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str) -> Label {
        Label::new(name).unwrap()
    }

    #[test]
    fn the_first_client_owns_what_it_registers_and_no_admin_takes_it() {
        let (shop, root) = (Actor::Client(label("shop")), Actor::Admin(label("root")));
        let (own, others) = (label("shop"), label("web"));

        assert_eq!(shop.owner(None), Some(label("shop")));
        assert_eq!(shop.owner(Some(None)), Some(label("shop")));
        assert_eq!(root.owner(Some(Some(&own))), Some(label("shop")));
        assert_eq!(root.owner(Some(None)), None);
        assert_eq!(root.owner(None), Some(label("root")));
        assert_eq!(Actor::Anyone.owner(None), None);
        assert_eq!(Actor::Anyone.owner(Some(Some(&own))), Some(label("shop")));
        for (actor, owner, may) in [
            (&shop, None, true),
            (&shop, Some(&own), true),
            (&shop, Some(&others), false),
            (&root, Some(&others), true),
            (&Actor::Anyone, Some(&others), true),
        ] {
            assert_eq!(actor.may_write(owner), may, "{actor:?} {owner:?}");
        }
    }
}
