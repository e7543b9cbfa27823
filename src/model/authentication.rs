//! Who has to say who they are.

/// What a call of the side-port needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Authentication {
    /// Whether calls need a token. Without, everybody may do everything; a token that is given is
    /// looked at all the same.
    pub required: bool,
    /// Whether calls that only read need none even so.
    pub anonymous_read: bool,
}
