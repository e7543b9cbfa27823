//! Record types that the code names. Others are numbers all the way (RFC 3597).

/// An IPv4 address (RFC 1035).
pub const A: u16 = 1;
/// A name server (RFC 1035).
pub const NS: u16 = 2;
/// An alias (RFC 1035).
pub const CNAME: u16 = 5;
/// The start of a zone (RFC 1035).
pub const SOA: u16 = 6;
/// A pointer to another name (RFC 1035).
pub const PTR: u16 = 12;
/// A mail exchange (RFC 1035).
pub const MX: u16 = 15;
/// Strings (RFC 1035).
pub const TXT: u16 = 16;
/// An IPv6 address (RFC 3596).
pub const AAAA: u16 = 28;
/// A service's host and port (RFC 2782).
pub const SRV: u16 = 33;
/// The pseudo-record of EDNS (RFC 6891).
pub const OPT: u16 = 41;
/// The signer of a child zone; lives on the parent's side of a cut (RFC 4035).
pub const DS: u16 = 43;
/// A service binding (RFC 9460).
pub const SVCB: u16 = 64;
/// A service binding for HTTPS (RFC 9460).
pub const HTTPS: u16 = 65;
/// A transfer of changes (RFC 1995); only ever a question.
pub const IXFR: u16 = 251;
/// A transfer of a zone (RFC 5936); only ever a question.
pub const AXFR: u16 = 252;
/// Any type (RFC 8482); only ever a question.
pub const ANY: u16 = 255;
