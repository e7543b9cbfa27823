//! The pages of this repository as tests see them: their fenced blocks, and a shell to run them in.

pub(crate) mod shell;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A fenced block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The page, below the root of the repository.
    pub(crate) page: String,
    /// The line of its first fence, from 1.
    pub(crate) line: usize,
    /// The heading that it is below.
    pub(crate) section: String,
    /// What follows the opening fence, e.g. `console`.
    pub(crate) language: String,
    /// Its text, with a newline after each line.
    pub(crate) text: String,
}

impl Block {
    /// Where it is, for messages.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

/// README.md and everything in `docs`, in the order of names.
pub(crate) fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    let docs = fs::read_dir(root().join("docs")).expect("there is a folder docs");
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    names.sort();
    pages.extend(names.iter().map(|name| format!("docs/{name}")));
    pages
}

/// The fenced blocks of all pages that are in `language`.
pub(crate) fn blocks(language: &str) -> Vec<Block> {
    let mut found: Vec<Block> = pages()
        .into_iter()
        .flat_map(|page| {
            let text = fs::read_to_string(root().join(&page)).unwrap();
            parse(&page, &text)
        })
        .collect();
    found.retain(|block| block.language == language);
    found
}

/// The fenced blocks of a page's `text`.
pub(crate) fn parse(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut section = "";
    let mut open: Option<Block> = None;
    for (i, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    page: page.to_owned(),
                    line: i + 1,
                    section: section.to_owned(),
                    language: language.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text += line;
                block.text.push('\n');
            }
            (None, None) => {
                if line.starts_with('#') {
                    section = line.trim_start_matches('#').trim();
                }
            }
        }
    }
    assert_eq!(open, None, "a block that does not end");
    blocks
}

/// A folder with what a checkout has for a server to start in.
pub(crate) fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root().join("registry.toml"), folder.path().join("registry.toml")).unwrap();
    fs::create_dir(folder.path().join("zones")).unwrap();
    for entry in fs::read_dir(root().join("zones")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join("zones").join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// Says that a test proves nothing here, past the harness, which keeps what passing tests print.
pub(crate) fn skipped(reason: &str) {
    let line = format!("skipped: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
