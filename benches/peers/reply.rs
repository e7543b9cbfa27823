//! Whether a reply is what was asked for.

/// What a reply must hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    answers: u16,
    additional: u16,
}

impl Expected {
    /// So many records in Answer, and at least so many in Additional.
    pub(crate) fn new(answers: usize, additional: usize) -> Self {
        let count = |count: usize| u16::try_from(count).expect("as many as a message can hold");
        Self { answers: count(answers), additional: count(additional) }
    }

    /// The id of a reply that is whole: NOERROR, not truncated, and as many records as there are.
    pub(crate) fn id(&self, reply: &[u8]) -> Option<u16> {
        let header = reply.first_chunk::<12>()?;
        let field = |i: usize| u16::from_be_bytes([header[i], header[i + 1]]);
        let (reply, truncated, code) = (0x8000, 0x0200, 0x000f);
        let good = field(2) & (reply | truncated | code) == reply;
        let whole = field(6) == self.answers && field(10) >= self.additional;
        (good && whole).then(|| field(0))
    }
}
