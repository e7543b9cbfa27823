//! Which zone files there are: plain names, and patterns with `*` in the file name.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::document::Document;
use crate::config::key_path::KeyPath;

/// The files that `patterns` name, relative to `folder`, sorted, without duplicates.
///
/// A pattern that matches nothing is fine; so is a plain name of no file, with a warning.
pub(super) fn expanded(
    document: &mut Document<'_>,
    patterns: &[String],
    folder: &Path,
) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (i, pattern) in patterns.iter().enumerate() {
        let key = KeyPath::of("dns.zones").index(i);
        let whole = folder.join(pattern);
        let parent = whole.parent().unwrap_or_else(|| Path::new(""));
        let Some(name) = whole.file_name().and_then(|name| name.to_str()) else {
            document.fault(&key, &format!("{pattern:?} names no file"), Some(EXAMPLE));
            continue;
        };
        let folders = &pattern[..pattern.len().saturating_sub(name.len())];
        if folders.contains('*') || name.contains("**") || pattern.contains(['?', '[', '{']) {
            let message = format!("{pattern:?}: only * is a wildcard, and only in the file name");
            document.fault(&key, &message, Some(EXAMPLE));
        } else if !name.contains('*') {
            if whole.is_file() {
                files.push(whole);
            } else {
                document.warn(&key, &format!("there is no file {}", whole.display()), None);
            }
        } else {
            match matching(parent, name) {
                Ok(found) => files.extend(found),
                Err(error) => {
                    let message = format!("{} cannot be read: {error}", parent.display());
                    document.fault(&key, &message, None);
                }
            }
        }
    }
    files.sort();
    files.dedup();
    files
}

const EXAMPLE: &str = "write files or patterns: [\"zones/*.zone\"]";

/// The files in `folder` whose names match; none when there is no such folder.
fn matching(folder: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    // The parent of a plain relative name is "", which no system call understands.
    let readable = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = match readable.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let path = folder.join(&name);
        if name.to_str().is_some_and(|name| matches(pattern, name)) && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Whether `name` is `pattern` with each `*` standing for any text. As in a shell, a leading `*`
/// leaves hidden files out.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        // The leftmost match leaves the most for the rest.
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, matched) in [
            ("*.zone", "a.zone", true),
            ("*.zone", "a.zone.bak", false),
            ("*.zone", ".hidden.zone", false),
            (".*.zone", ".hidden.zone", true),
            ("*", "anything", true),
            ("a*c", "ac", true),
            ("a*c", "abc", true),
            ("aa*aa", "aaa", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("plain", "plain", true),
            ("plain", "plainer", false),
        ] {
            assert_eq!(matches(pattern, name), matched, "{pattern} {name}");
        }
    }

    #[test]
    fn files_are_sorted_and_named_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.zone", "a.zone", "c.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("d.zone")).unwrap();
        let mut document = Document::empty(Path::new("x.toml"));
        let patterns = ["*.zone", "a.zone", "none/*.zone"].map(String::from);

        let files = expanded(&mut document, &patterns, folder.path());

        assert_eq!(files, [folder.path().join("a.zone"), folder.path().join("b.zone")]);
        assert_eq!(document.finish(()).unwrap().1, Vec::<String>::new());
    }

    #[test]
    fn a_plain_name_of_no_file_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let mut document = Document::empty(Path::new("x.toml"));

        let files = expanded(&mut document, &["typo.zone".into()], folder.path());

        let warnings = document.finish(()).unwrap().1;
        assert_eq!(files, Vec::<PathBuf>::new());
        assert!(warnings[0].contains("typo.zone"), "{warnings:?}");
    }
}
