//! The two messages of `grpc.health.v1.Health/Check`, each behind the five bytes that gRPC puts
//! before a message. All of protobuf that they need: varints, texts, and fields to skip.

/// The request for the state of `service`, ready to be sent.
pub(super) fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 8);
    // An empty text is the default, and left out.
    if !service.is_empty() {
        // Field 1, a length and that many bytes.
        message.push(1 << 3 | 2);
        push_varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    // Names are far shorter than 4 GiB.
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.append(&mut message);
    framed
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Unknown,
    Serving,
    NotServing,
    ServiceUnknown,
    /// A number that the standard does not have.
    Other,
}

impl Answer {
    /// As the standard calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
            Self::Other => "a status that is not of grpc.health.v1",
        }
    }
}

/// The reply in `framed`; `None` when it is none, or not all of it.
pub(super) fn reply(framed: &[u8]) -> Option<Answer> {
    let (header, rest) = framed.split_first_chunk::<5>()?;
    let [compressed, length @ ..] = *header;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    if compressed != 0 || rest.len() != length {
        return None;
    }
    let mut message = rest;
    // Not sent, it is 0. Of several the last counts.
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = take_varint(&mut message)?,
            (_, 0) => drop(take_varint(&mut message)?),
            (_, 1) => drop(take(&mut message, 8)?),
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                take(&mut message, length)?;
            }
            (_, 5) => drop(take(&mut message, 4)?),
            _ => return None,
        }
    }
    Some(match status {
        0 => Answer::Unknown,
        1 => Answer::Serving,
        2 => Answer::NotServing,
        3 => Answer::ServiceUnknown,
        _ => Answer::Other,
    })
}

fn push_varint(out: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = *take(bytes, 1)? else { return None };
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], &length[..], message].concat()
    }

    #[test]
    fn a_request_names_the_service() {
        assert_eq!(request(""), framed(b""));
        assert_eq!(request("a.B"), framed(b"\x0a\x03a.B"));
        let long = "x".repeat(200);
        assert_eq!(request(&long), framed(&[b"\x0a\xc8\x01", long.as_bytes()].concat()));
    }

    #[test]
    fn replies_are_read_and_fields_of_later_versions_skipped() {
        for (message, serving) in [
            (&b""[..], Answer::Unknown),
            (b"\x08\x01", Answer::Serving),
            (b"\x08\x02", Answer::NotServing),
            (b"\x08\x03", Answer::ServiceUnknown),
            (b"\x08\x81\x01", Answer::Other),
            (b"\x12\x02ab\x08\x01\x19abcdefgh\x25abcd\x18\x05", Answer::Serving),
        ] {
            assert_eq!(reply(&framed(message)), Some(serving), "{message:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_none() {
        let endless = [0x08].iter().chain(&[0xff; 20]).copied().collect::<Vec<u8>>();
        for message in [&b"\x08"[..], b"\x12\x7fab", b"\x0b", b"\x19abc", &endless] {
            assert_eq!(reply(&framed(message)), None, "{message:?}");
        }
        for frame in [&b""[..], b"\0\0\0\0", b"\x01\0\0\0\0", b"\0\0\0\0\x02\x08", b"\0\0\0\0\0x"] {
            assert_eq!(reply(frame), None, "{frame:?}");
        }
    }
}
