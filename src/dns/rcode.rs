//! Response codes.

/// The response codes that this server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rcode {
    /// Answered, perhaps with no data.
    NoError,
    /// The query could not be understood.
    FormErr,
    /// The query could not be answered now.
    ServFail,
    /// The name does not exist.
    NxDomain,
    /// Not a kind of query that this server knows.
    NotImp,
    /// Not answered on purpose.
    Refused,
    /// An EDNS version above 0 (RFC 6891 section 6.1.3).
    BadVers,
    /// The client has no valid cookie, and needs one now (RFC 7873 section 5.2.3).
    BadCookie,
}

impl Rcode {
    /// The code with its EDNS extension: at most 12 bits.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::BadVers => 16,
            Self::BadCookie => 23,
        }
    }

    /// The part that the header carries.
    #[must_use]
    pub fn low(self) -> u8 {
        self.code().to_be_bytes()[1] & 0x0f
    }

    /// The part that OPT carries.
    #[must_use]
    pub fn high(self) -> u8 {
        (self.code() >> 4).to_be_bytes()[1]
    }

    /// The name that tools print: `NXDOMAIN`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::BadVers => "BADVERS",
            Self::BadCookie => "BADCOOKIE",
        }
    }
}
