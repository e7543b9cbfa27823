//! Short strings in one allocation: instances keep some by the million, and a tree or a vector of
//! strings takes many times what they say. Made and read by the types that are made of them.

/// Strings that never change, end to end, each behind its length.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Texts(Box<str>);

impl Texts {
    /// How many bytes they take.
    pub(super) fn footprint(&self) -> usize {
        self.0.len()
    }

    /// The strings, in the order given.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let length = rest.chars().next()?;
            let (text, after) = rest[length.len_utf8()..].split_at(length as usize);
            rest = after;
            Some(text)
        })
    }
}

impl<'t> FromIterator<&'t str> for Texts {
    /// Each of at most 512 bytes: no instance has longer ones.
    fn from_iter<I: IntoIterator<Item = &'t str>>(texts: I) -> Self {
        let mut all = String::new();
        for text in texts {
            // A length is a character, so that all of it is text: 0-512 are characters.
            let length = u32::try_from(text.len()).ok().and_then(char::from_u32);
            all.push(length.expect("at most 512 bytes"));
            all.push_str(text);
        }
        Self(all.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_every_length_come_back() {
        let texts: Vec<String> = (0..=512).map(|length| "\u{0}".repeat(length)).collect();

        let kept: Texts = texts.iter().map(String::as_str).collect();

        assert!(kept.iter().eq(texts.iter()));
        assert_eq!(Texts::default().iter().next(), None);
    }
}
