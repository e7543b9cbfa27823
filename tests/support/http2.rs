//! HTTP/2 as no client library speaks it: frames by hand (RFC 9113 section 4), headers without
//! compression (RFC 7541 section 6.2.2).

use std::io::{Read, Write};

/// How a connection begins, for a client that has room for `window` bytes of each reply.
pub(crate) fn opening(window: u32) -> Vec<u8> {
    let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    settings.extend(window.to_be_bytes());
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(SETTINGS, 0, 0, &settings).as_slice()].concat()
}

/// A request without a body.
pub(crate) fn get(stream: u32, scheme: &str, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(scheme, path))
}

/// The same, of which the end is not there yet.
pub(crate) fn begin(stream: u32, scheme: &str, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(scheme, path))
}

fn head(scheme: &str, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in
        [(":method", "GET"), (":scheme", scheme), (":path", path), (":authority", "localhost")]
    {
        block.push(0);
        for text in [name, value] {
            // Longer ones have another form.
            assert!(text.len() < 127, "{text}");
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}

/// Gives a stream up.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// Reads up to the next reply; whether it is a 200, which has a byte of its own (RFC 7541 appendix
/// A).
pub(crate) fn next_is_ok(stream: &mut impl Read) -> bool {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        stream.read_exact(&mut payload).unwrap();
        if head[3] == HEADERS {
            return payload[0] == 0x88;
        }
    }
}

/// Sends, and says whether that went well.
pub(crate) fn sent(stream: &mut impl Write, bytes: &[u8]) -> bool {
    stream.write_all(bytes).and_then(|()| stream.flush()).is_ok()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;
const CANCEL: u32 = 8;
