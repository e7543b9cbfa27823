//! Domain names in wire form: length-prefixed labels and a final zero (RFC 1035 section 3.1).
//!
//! Labels are bytes, never joined on '.', and compared with ASCII case folded (RFC 4343). A name
//! lives where it is, without allocation; the functions on slices take any wire-form name that
//! is whole and uncompressed, but for the one on names in messages.

use std::fmt;

/// A whole, uncompressed domain name, in the case it was given.
#[derive(Clone, Copy)]
pub struct Name {
    length: u8,
    bytes: [u8; MAX_NAME],
}

impl Name {
    /// The longest name, with its length bytes and the final zero.
    pub const MAX: usize = MAX_NAME;

    /// The root, `.`.
    pub const ROOT: Self = Self { length: 1, bytes: [0; Self::MAX] };

    /// Reads a name at the start of `bytes`, of which there may be more. `None` when it is cut
    /// short, too long, or has a compression pointer.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = 0;
        loop {
            let label = usize::from(*bytes.get(at)?);
            if label > MAX_LABEL || at >= Self::MAX {
                return None;
            }
            at += 1 + label;
            if label == 0 {
                return Self::copy(bytes.get(..at)?);
            }
        }
    }

    /// Puts `labels` before `suffix`, a wire-form name. `None` when a label is empty or over 63
    /// bytes, or the name over 255.
    #[must_use]
    pub fn join(labels: &[&[u8]], suffix: &[u8]) -> Option<Self> {
        let mut name = Self { length: 0, bytes: [0; Self::MAX] };
        for label in labels {
            if label.is_empty() || label.len() > MAX_LABEL {
                return None;
            }
            name.push(&[u8::try_from(label.len()).ok()?])?;
            name.push(label)?;
        }
        name.push(suffix)?;
        Some(name)
    }

    /// Reads a name as master files write it (RFC 1035 section 5.1): `\.` is a dot inside a
    /// label and `\DDD` a byte in decimal. One that does not end in a dot is put before `origin`.
    ///
    /// # Errors
    /// When a label is empty or too long, the name is too long, a character is not printable
    /// ASCII, an escape is not one, or the name is relative without an `origin`.
    pub fn from_text(text: &str, origin: Option<&Self>) -> Result<Self, NameTextError> {
        match text {
            "" => return Err(NameTextError::EmptyLabel),
            "." => return Ok(Self::ROOT),
            "@" => return origin.copied().ok_or(NameTextError::Relative),
            _ => {}
        }
        let mut name = Self { length: 0, bytes: [0; Self::MAX] };
        let mut label = Vec::with_capacity(MAX_LABEL);
        let mut rest = text.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            match first {
                b'.' => name.push_label(&mut label)?,
                b'\\' => label.push(unescape(&mut rest)?),
                b'!'..=b'~' => label.push(first),
                _ => return Err(NameTextError::Character),
            }
        }
        if label.is_empty() {
            name.push(&[0]).ok_or(NameTextError::TooLong)?;
            return Ok(name);
        }
        name.push_label(&mut label)?;
        let origin = origin.ok_or(NameTextError::Relative)?;
        name.push(origin.wire()).ok_or(NameTextError::TooLong)?;
        Ok(name)
    }

    /// The name in wire form.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The same name in lower case (ASCII only).
    #[must_use]
    pub fn folded(mut self) -> Self {
        // Length bytes are at most 63, below 'A', so the whole wire form can be folded at once.
        self.bytes.make_ascii_lowercase();
        self
    }

    fn copy(wire: &[u8]) -> Option<Self> {
        let mut name = Self { length: 0, bytes: [0; Self::MAX] };
        name.push(wire)?;
        Some(name)
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let start = usize::from(self.length);
        let end = start + bytes.len();
        self.bytes.get_mut(start..end)?.copy_from_slice(bytes);
        self.length = u8::try_from(end).ok()?;
        Some(())
    }

    fn push_label(&mut self, label: &mut Vec<u8>) -> Result<(), NameTextError> {
        if label.is_empty() {
            return Err(NameTextError::EmptyLabel);
        }
        let length = u8::try_from(label.len()).map_err(|_| NameTextError::LabelTooLong)?;
        if label.len() > MAX_LABEL {
            return Err(NameTextError::LabelTooLong);
        }
        self.push(&[length]).and_then(|()| self.push(label)).ok_or(NameTextError::TooLong)?;
        label.clear();
        Ok(())
    }
}

impl PartialEq for Name {
    /// Byte for byte; fold both to compare as DNS does.
    fn eq(&self, other: &Self) -> bool {
        self.wire() == other.wire()
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text(self.wire()).fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text is not a domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameTextError {
    /// Two dots in a row, or a dot in front.
    #[error("a label is empty")]
    EmptyLabel,
    /// A label over 63 bytes.
    #[error("a label is longer than 63 bytes")]
    LabelTooLong,
    /// Over 255 bytes in wire form.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// Something else than printable ASCII.
    #[error("only printable ASCII is allowed in a name; write other bytes as \\DDD")]
    Character,
    /// A backslash that is not followed by three digits up to 255 or one other character.
    #[error("a backslash must be followed by a character or by three digits up to 255")]
    Escape,
    /// No final dot and nothing to complete it with.
    #[error("the name is relative and no $ORIGIN was given; end it with a dot")]
    Relative,
}

/// The name itself, then each of its parents up to the root. Nothing for a broken name.
pub fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    std::iter::successors((!wire.is_empty()).then_some(wire), |name| parent(name))
}

/// Where the bytes of the name at `start` of a message end, which may be in a pointer to the rest of
/// it. `None` when it is no name, up to its root.
pub(crate) fn end_in(packet: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut earliest) = (start, start);
    let (mut end, mut length) = (None, 0);
    for _ in 0..MAX_NAME_PARTS {
        let first = *packet.get(at)?;
        match first >> 6 {
            0b00 => {
                let label = 1 + usize::from(first);
                at += label;
                length += label;
                if first == 0 {
                    return (length <= MAX_NAME).then_some(end.unwrap_or(at));
                }
            }
            0b11 => {
                let target = u16::from_be_bytes([first & 0x3f, *packet.get(at + 1)?]);
                end = end.or(Some(at + 2));
                at = usize::from(target);
                // RFC 1035 section 4.1.4: a prior occurrence.
                if at >= earliest {
                    return None;
                }
                earliest = at;
            }
            _ => return None,
        }
    }
    None
}

/// The labels, leftmost first, without the root.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    suffixes(wire).filter_map(|name| {
        let (&length, rest) = name.split_first()?;
        rest.get(..usize::from(length)).filter(|label| !label.is_empty())
    })
}

/// The labels of `name` left of `apex`, in `buffer`.
pub(crate) fn relative_labels<'b, 'n>(
    name: &'n [u8],
    apex: &[u8],
    buffer: &'b mut [&'n [u8]; MAX_LABELS],
) -> &'b [&'n [u8]] {
    let relative = labels(&name[..name.len() - apex.len()]);
    let mut count = 0;
    for (slot, label) in buffer.iter_mut().zip(relative) {
        *slot = label;
        count += 1;
    }
    &buffer[..count]
}

/// The name without its first label; `None` for the root.
#[must_use]
pub fn parent(wire: &[u8]) -> Option<&[u8]> {
    let (&length, rest) = wire.split_first()?;
    rest.get(usize::from(length)..).filter(|rest| length > 0 && !rest.is_empty())
}

/// Whether `name` is `apex` or below it. Both in lower case.
#[must_use]
pub fn is_within(name: &[u8], apex: &[u8]) -> bool {
    name.ends_with(apex) && suffixes(name).any(|suffix| suffix.len() == apex.len())
}

/// Shows a wire-form name as text with a final dot, escaped as RFC 1035 section 5.1 has it.
pub fn text(wire: &[u8]) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        if wire.len() <= 1 {
            return f.write_str(".");
        }
        for label in labels(wire) {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(byte))?;
                    }
                    b'!'..=b'~' => write!(f, "{}", char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    })
}

/// Takes what follows a backslash off `rest`: three decimal digits or one character.
pub(crate) fn unescape(rest: &mut &[u8]) -> Result<u8, NameTextError> {
    let (&first, after) = rest.split_first().ok_or(NameTextError::Escape)?;
    if !first.is_ascii_digit() {
        *rest = after;
        return Ok(first);
    }
    let digits = rest.get(..3).ok_or(NameTextError::Escape)?;
    let digits = std::str::from_utf8(digits).map_err(|_| NameTextError::Escape)?;
    *rest = &rest[3..];
    digits.parse().map_err(|_| NameTextError::Escape)
}

/// The most labels that 255 bytes can hold (RFC 1035 section 2.3.4).
pub(crate) const MAX_LABELS: usize = 127;
/// The longest label (RFC 1035 section 2.3.4).
pub(crate) const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 255;
/// One with a pointer from each label to the next is nobody's.
const MAX_NAME_PARTS: usize = 2 * (MAX_LABELS + 1);

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Name as WireReader;
    use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text, None).unwrap()
    }

    #[test]
    fn text_becomes_wire_form_and_back() {
        assert_eq!(name("Web.Service.local.").wire(), b"\x03Web\x07Service\x05local\x00");
        assert_eq!(name("a\\.b\\032\\255\\\\.c.").wire(), b"\x06a.b \xff\\\x01c\x00");
        for text in ["a\\.b\\032\\255\\\\.c.", ".", "*.x.", "_http._tcp.web.service.local."] {
            assert_eq!(name(text).to_string(), text);
        }
    }

    #[test]
    fn a_relative_name_is_completed_by_the_origin() {
        let origin = name("service.local.");

        let completed = |text| Name::from_text(text, Some(&origin)).unwrap().to_string();

        assert_eq!(completed("web"), "web.service.local.");
        assert_eq!(completed("web."), "web.");
        assert_eq!(completed("a\\."), "a\\..service.local.");
        assert_eq!(completed("@"), "service.local.");
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let error = |text: &str| Name::from_text(text, None).unwrap_err();

        assert_eq!(error(""), NameTextError::EmptyLabel);
        assert_eq!(error("a..b."), NameTextError::EmptyLabel);
        assert_eq!(error(".a."), NameTextError::EmptyLabel);
        assert_eq!(error("web"), NameTextError::Relative);
        assert_eq!(error("@"), NameTextError::Relative);
        assert_eq!(error("a b."), NameTextError::Character);
        assert_eq!(error("\u{e9}."), NameTextError::Character);
        assert_eq!(error("a\\25."), NameTextError::Escape);
        assert_eq!(error("a\\256."), NameTextError::Escape);
        assert_eq!(error("a\\"), NameTextError::Escape);
        assert_eq!(error(&"a".repeat(64)), NameTextError::LabelTooLong);
        assert_eq!(error(&"abc.".repeat(64)), NameTextError::TooLong);
        assert_eq!(name(&format!("{}ab.", "abc.".repeat(62))).wire().len(), 252);
    }

    #[test]
    fn names_of_255_bytes_are_read_and_longer_ones_are_not() {
        let mut wire = b"\x3f".repeat(64 * 4);
        wire[192] = 61;
        wire[254] = 0;
        assert_eq!(Name::read(&wire).unwrap().wire(), &wire[..255]);

        wire[192] = 62;
        wire[255] = 0;
        assert_eq!(Name::read(&wire), None);
    }

    #[test]
    fn a_cut_or_compressed_name_is_not_read() {
        assert_eq!(Name::read(b""), None);
        assert_eq!(Name::read(b"\x03we"), None);
        assert_eq!(Name::read(b"\x03web"), None);
        assert_eq!(Name::read(b"\x03web\xc0\x0c"), None);
        assert_eq!(Name::read(b"\x40web"), None);
        assert_eq!(Name::read(b"\x00more"), Some(Name::ROOT));
    }

    #[test]
    fn joining_stops_at_255_bytes() {
        let service = name("web.service.local.");

        let joined = Name::join(&[b"_http", b"_tcp"], service.wire()).unwrap();

        assert_eq!(joined.to_string(), "_http._tcp.web.service.local.");
        assert_eq!(Name::join(&[[b'a'; 63].as_slice(); 4], service.wire()), None);
        assert_eq!(Name::join(&[b""], service.wire()), None);
    }

    #[test]
    fn a_name_is_within_its_ancestors_only_at_label_borders() {
        let apex = name("service.local.");

        assert!(is_within(name("service.local.").wire(), apex.wire()));
        assert!(is_within(name("a.b.service.local.").wire(), apex.wire()));
        assert!(is_within(apex.wire(), Name::ROOT.wire()));
        assert!(!is_within(name("xservice.local.").wire(), apex.wire()));
        assert!(!is_within(name("local.").wire(), apex.wire()));
        // The bytes of the apex inside one label.
        assert!(!is_within(b"\x0f\x07service\x05local\x00", apex.wire()));
    }

    #[test]
    fn parents_and_labels_walk_to_the_root() {
        let web = name("web.local.");

        let walked: Vec<String> = suffixes(web.wire()).map(|s| text(s).to_string()).collect();

        assert_eq!(walked, ["web.local.", "local.", "."]);
        assert_eq!(labels(web.wire()).collect::<Vec<_>>(), [b"web".as_slice(), b"local"]);
    }

    proptest! {
        #[test]
        fn names_that_hickory_reads_end_where_it_says(
            // Short labels, and pointers to anywhere in the packet.
            packet in proptest::collection::vec(prop_oneof![Just(0xc0), 0..40_u8, 0..4_u8], 1..60),
            start in any::<prop::sample::Index>(),
        ) {
            let start = start.index(packet.len());
            let mut decoder = BinDecoder::new(&packet);
            decoder.read_slice(start).unwrap();

            if WireReader::read(&mut decoder).is_ok() {
                prop_assert_eq!(end_in(&packet, start), Some(decoder.index()));
            }
        }
    }
}
