//! Where in the file something is said: `services.web.instances[0].weight`.

use std::fmt;

use serde_path_to_error::{Path, Segment as Tracked};

/// The path of a key or of an element of an array; empty for the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KeyPath(Vec<Segment>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}

impl KeyPath {
    /// Reads `dns.listen` or `addresses[1]`; for texts of our own, whose keys hold no dots.
    pub(super) fn of(text: &str) -> Self {
        Self::default().join(text)
    }

    /// This path and then `text`, read as by [`Self::of`].
    pub(super) fn join(&self, text: &str) -> Self {
        let mut path = self.clone();
        for part in text.split('.') {
            let (key, rest) = part.split_once('[').unwrap_or((part, ""));
            path = path.key(key);
            if let Ok(i) = rest.trim_end_matches(']').parse() {
                path = path.index(i);
            }
        }
        path
    }

    /// The path of `key` in the table at this path.
    pub(super) fn key(&self, key: &str) -> Self {
        self.and(Segment::Key(key.to_owned()))
    }

    /// The path of an element of the array at this path.
    pub(super) fn index(&self, index: usize) -> Self {
        self.and(Segment::Index(index))
    }

    /// This path and then the one that serde was at.
    pub(super) fn tracked(&self, path: &Path) -> Self {
        let mut whole = self.clone();
        for segment in path {
            match segment {
                Tracked::Seq { index } => whole.0.push(Segment::Index(*index)),
                Tracked::Map { key } => whole.0.push(Segment::Key(key.clone())),
                // Neither is a step of the file: one is a value, the other an enum's own.
                Tracked::Enum { .. } | Tracked::Unknown => {}
            }
        }
        whole
    }

    /// The steps, outermost first.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The key nearest to the end, e.g. `listen` of `dns.listen[0]`.
    pub(super) fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Index(_) => None,
        })
    }

    /// The path of the array whose element this is; `None` when the path ends in a key.
    pub(super) fn parent_of_index(&self) -> Option<Self> {
        match self.0.split_last() {
            Some((Segment::Index(_), parent)) => Some(Self(parent.to_vec())),
            Some((Segment::Key(_), _)) | None => None,
        }
    }

    fn and(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    let dot = if i == 0 { "" } else { "." };
                    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                    if !key.is_empty() && key.bytes().all(bare) {
                        write!(f, "{dot}{key}")?;
                    } else {
                        write!(f, "{dot}{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_path_agree() {
        let path = KeyPath::default().key("services").key("web").key("instances").index(0);

        assert_eq!(path.to_string(), "services.web.instances[0]");
        assert_eq!(KeyPath::of("services.web.instances[0]"), path);
        assert_eq!(path.last_key(), Some("instances"));
    }

    #[test]
    fn a_key_that_toml_would_quote_is_quoted() {
        let path = KeyPath::default().key("services").key("a.b").key("");

        assert_eq!(path.to_string(), r#"services."a.b".""#.to_owned() + "\"");
    }
}
