//! DNS cookies (RFC 7873) in the form that servers share (RFC 9018).
//!
//! A client that sends our cookie back has received a packet at its address, so the address is not
//! forged. Nothing is kept of a client: the cookie is a hash under a secret. Called per packet, so
//! without a lock; time comes as an argument.

use std::net::IpAddr;

use siphasher::sip::SipHasher24;
use siphasher::sip128::SipHasher24 as SipHasher24Of128;

use crate::model::CookieSecret;

/// The COOKIE option of a query, well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    /// What the client recognises our reply by.
    pub client: [u8; 8],
    /// What it says that we gave it.
    pub server: ServerPart,
}

/// The server's part of a COOKIE option in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerPart {
    /// None yet.
    Missing,
    /// One of the length of ours.
    Sent([u8; 16]),
    /// One that is legal, but not of our length.
    Foreign,
}

impl Cookie {
    /// Reads the option's data. `None` when it has no legal length (RFC 7873 section 4): 8 bytes,
    /// or 16 to 40.
    #[must_use]
    pub fn read(data: &[u8]) -> Option<Self> {
        let (&client, server) = data.split_first_chunk::<8>()?;
        let server = match server.len() {
            0 => ServerPart::Missing,
            16 => ServerPart::Sent(server.try_into().ok()?),
            8..=32 => ServerPart::Foreign,
            _ => return None,
        };
        Some(Self { client, server })
    }
}

/// What a cookie proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing yet: the client has no cookie of ours.
    New,
    /// Nothing: another server's, another client's, or too old.
    Bad,
    /// The client is where the packet says it comes from.
    Valid,
}

/// Whose secrets make and verify cookies.
#[derive(Debug, Clone, Copy)]
pub enum Secrets<'s> {
    /// This process's own.
    Own(&'s CookieSecret),
    /// Those that a set of servers shares: the first makes cookies, all are taken, so that they can
    /// be exchanged one server after the other (RFC 9018 section 5). At least one.
    Shared(&'s [CookieSecret]),
}

impl Secrets<'_> {
    /// What `cookie` proves, and the server part of the reply; `now` is the wall clock's seconds
    /// since 1970, as far as 32 bits hold them.
    #[must_use]
    pub fn judge(self, cookie: &Cookie, client: IpAddr, now: u32) -> (Standing, [u8; 16]) {
        match cookie.server {
            ServerPart::Missing => (Standing::New, self.make(cookie, client, now)),
            ServerPart::Foreign => (Standing::Bad, self.make(cookie, client, now)),
            ServerPart::Sent(server) => match self.verify(cookie, server, client, now) {
                None => (Standing::Bad, self.make(cookie, client, now)),
                Some(Freshness::Due) => (Standing::Valid, self.make(cookie, client, now)),
                Some(Freshness::Fresh) => (Standing::Valid, server),
            },
        }
    }

    fn make(self, cookie: &Cookie, client: IpAddr, now: u32) -> [u8; 16] {
        let secret = match self {
            Self::Own(secret) => of_day(secret, now),
            Self::Shared(secrets) => secrets[0],
        };
        let [a, b, c, d] = now.to_be_bytes();
        let head = [VERSION, 0, 0, 0, a, b, c, d];
        server_part(head, hash(&secret, cookie, head, client))
    }

    /// Whether to renew a cookie of ours; `None` when it is not ours or not of this time.
    fn verify(
        self,
        cookie: &Cookie,
        server: [u8; 16],
        client: IpAddr,
        now: u32,
    ) -> Option<Freshness> {
        let (&head, sent) = server.split_first_chunk::<8>()?;
        let [VERSION, _, _, _, a, b, c, d] = head else { return None };
        let made = u32::from_be_bytes([a, b, c, d]);
        // RFC 1982: the difference holds across the end of the 32 bits. Below zero, the cookie comes
        // from a clock that is ahead of this one.
        let age = now.wrapping_sub(made).cast_signed();
        if !(-MOST_AHEAD..=MOST_BEHIND).contains(&age) {
            return None;
        }
        let ours = |secret: &CookieSecret| hash(secret, cookie, head, client) == sent;
        let place = match self {
            Self::Own(secret) => ours(&of_day(secret, made)).then_some(0),
            Self::Shared(secrets) => secrets.iter().position(ours),
        };
        // One of a secret that is on its way out is renewed at once.
        place.map(|i| if i > 0 || age >= RENEW_AFTER { Freshness::Due } else { Freshness::Fresh })
    }
}

/// How a cookie of ours is doing.
enum Freshness {
    /// The client may keep it.
    Fresh,
    /// It is time for another.
    Due,
}

/// The secret of the day that `time` is in. A cookie's own time says which it was made with, so
/// changing it daily (RFC 7873 section 7.1) needs nothing to be kept and nobody to do it.
fn of_day(secret: &CookieSecret, time: u32) -> CookieSecret {
    let day = (time / DAY).to_be_bytes();
    CookieSecret::new(SipHasher24Of128::new_with_key(secret.bytes()).hash(&day).as_bytes())
}

/// RFC 9018 section 4.4: SipHash-2-4 over client cookie, version, reserved, timestamp and address.
fn hash(secret: &CookieSecret, cookie: &Cookie, head: [u8; 8], client: IpAddr) -> [u8; 8] {
    let mut input = [0; 32];
    input[..8].copy_from_slice(&cookie.client);
    input[8..16].copy_from_slice(&head);
    let length = match client {
        IpAddr::V4(v4) => {
            input[16..20].copy_from_slice(&v4.octets());
            20
        }
        IpAddr::V6(v6) => {
            input[16..].copy_from_slice(&v6.octets());
            32
        }
    };
    SipHasher24::new_with_key(secret.bytes()).hash(&input[..length]).to_le_bytes()
}

fn server_part(head: [u8; 8], hash: [u8; 8]) -> [u8; 16] {
    let mut server = [0; 16];
    server[..8].copy_from_slice(&head);
    server[8..].copy_from_slice(&hash);
    server
}

const VERSION: u8 = 1;
const DAY: u32 = 86_400;

// RFC 9018 section 4.3, in seconds.
const RENEW_AFTER: i32 = 30 * 60;
const MOST_BEHIND: i32 = 60 * 60;
const MOST_AHEAD: i32 = 5 * 60;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
        assert_eq!(hex.len(), 2 * N);
        std::array::from_fn(byte)
    }

    fn cookie(client: &str, server: Option<&str>) -> Cookie {
        let server = server.map_or(ServerPart::Missing, |hex| ServerPart::Sent(bytes(hex)));
        Cookie { client: bytes(client), server }
    }

    fn secret(hex: &str) -> CookieSecret {
        CookieSecret::new(bytes(hex))
    }

    #[test]
    fn the_examples_of_the_standard_come_out() {
        let (first, second, third) = (
            secret("e5e973e5a6b2a43f48e7dc849e37bfcf"),
            secret("dd3bdf9344b678b185a6f5cb60fca715"),
            secret("445536bcd2513298075a5d379663c962"),
        );
        // RFC 9018 appendix A: a new cookie, a renewed one, one of another make, a rolled secret.
        for (secrets, client, sent, address, now, standing, given) in [
            (
                &[first][..],
                "2464c4abcf10c957",
                None,
                "198.51.100.100",
                1_559_731_985,
                Standing::New,
                "010000005cf79f111f8130c3eee29480",
            ),
            (
                &[first],
                "2464c4abcf10c957",
                Some("010000005cf79f111f8130c3eee29480"),
                "198.51.100.100",
                1_559_734_385,
                Standing::Valid,
                "010000005cf7a871d4a564a1442aca77",
            ),
            (
                &[first],
                "fc93fc62807ddb86",
                Some("01abcdef5cf78f71a314227b6679ebf5"),
                "203.0.113.203",
                1_559_734_700,
                Standing::Bad,
                "010000005cf7a9acf73a7810aca2381e",
            ),
            (
                &[third, second],
                "22681ab97d52c298",
                Some("010000005cf7c57926556bd0934c72f8"),
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                1_559_741_961,
                Standing::Valid,
                "010000005cf7c609a6bb79d16625507a",
            ),
        ] {
            let judged = Secrets::Shared(secrets).judge(
                &cookie(client, sent),
                address.parse().unwrap(),
                now,
            );

            assert_eq!(judged, (standing, bytes(given)), "{given}");
        }
    }

    #[test]
    fn reserved_bytes_of_another_make_are_hashed_as_sent() {
        let secret = secret("e5e973e5a6b2a43f48e7dc849e37bfcf");
        let sent = cookie("fc93fc62807ddb86", Some("01abcdef5cf78f71a314227b6679ebf5"));
        // RFC 9018 appendix A.3, at a time when it is not too old.
        let now = 0x5cf7_8f71 + 60;

        let judged = Secrets::Shared(&[secret]).judge(&sent, "203.0.113.203".parse().unwrap(), now);

        assert_eq!(judged, (Standing::Valid, bytes("01abcdef5cf78f71a314227b6679ebf5")));
    }

    #[test]
    fn a_cookie_has_8_bytes_or_16_to_40() {
        let data = [7; 50];
        let legal: Vec<usize> = (0..=50).filter(|n| Cookie::read(&data[..*n]).is_some()).collect();

        let expected: Vec<usize> = std::iter::once(8).chain(16..=40).collect();
        assert_eq!(legal, expected);
        let server = |length: usize| Cookie::read(&data[..length]).map(|cookie| cookie.server);
        assert_eq!(server(8), Some(ServerPart::Missing));
        assert_eq!(server(16), Some(ServerPart::Foreign));
        assert_eq!(server(24), Some(ServerPart::Sent([7; 16])));
    }

    /// What is said at `now` of a cookie made at `made`.
    fn judged(made: u32, now: u32) -> (Standing, bool) {
        let (secret, client) = (CookieSecret::new([9; 16]), "192.0.2.1".parse().unwrap());
        let fresh = Cookie { client: [1; 8], server: ServerPart::Missing };
        let (_, server) = Secrets::Own(&secret).judge(&fresh, client, made);
        let sent = Cookie { server: ServerPart::Sent(server), ..fresh };
        let (standing, given) = Secrets::Own(&secret).judge(&sent, client, now);
        (standing, given == server)
    }

    #[test]
    fn a_cookie_is_kept_half_an_hour_and_taken_an_hour() {
        // Days change, and the 32 bits end.
        for made in [1_559_731_985, 86_400 * 20_000 - 1, u32::MAX - 10] {
            for (later, expected) in [
                (0, (Standing::Valid, true)),
                (1_799, (Standing::Valid, true)),
                (1_800, (Standing::Valid, false)),
                (3_600, (Standing::Valid, false)),
                (3_601, (Standing::Bad, false)),
                (-300, (Standing::Valid, true)),
                (-301, (Standing::Bad, false)),
            ] {
                assert_eq!(judged(made, made.wrapping_add_signed(later)), expected, "{later}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_cookie_is_nobody_elses(
            key in any::<[u8; 16]>(),
            client in any::<[u8; 8]>(),
            address in any::<IpAddr>(),
            now in any::<u32>(),
            other in (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<IpAddr>()),
            flipped in 0..128_usize,
        ) {
            let fresh = Cookie { client, server: ServerPart::Missing };
            let key = CookieSecret::new(key);
            let (_, server) = Secrets::Own(&key).judge(&fresh, address, now);
            let sent = Cookie { client, server: ServerPart::Sent(server) };
            let standing = |key: &CookieSecret, cookie: &Cookie, address| {
                Secrets::Own(key).judge(cookie, address, now).0
            };

            prop_assume!(key != CookieSecret::new(other.0) && client != other.1);
            prop_assume!(address != other.2);
            prop_assert_eq!(standing(&key, &sent, address), Standing::Valid);
            let other_key = CookieSecret::new(other.0);
            prop_assert_eq!(standing(&other_key, &sent, address), Standing::Bad);
            let other_client = Cookie { client: other.1, ..sent };
            prop_assert_eq!(standing(&key, &other_client, address), Standing::Bad);
            prop_assert_eq!(standing(&key, &sent, other.2), Standing::Bad);
            let mut damaged = server;
            damaged[flipped / 8] ^= 1 << (flipped % 8);
            let damaged = Cookie { client, server: ServerPart::Sent(damaged) };
            prop_assert_eq!(standing(&key, &damaged, address), Standing::Bad);
        }
    }
}
