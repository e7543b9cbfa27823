//! What a picture of a query says of a stack: our own functions, and what the innermost of them calls.
//!
//! The rest (closures, the standard library between two functions of ours) would double its height.

use crate::profile::Function;

/// The names in the stack of a thread that answers a query, the outermost first; `None` when it does
/// something else.
pub(crate) fn of_a_query(frames: &[Function]) -> Option<Vec<String>> {
    let begin = frames.iter().position(|f| own(f).is_some_and(|path| path.starts_with("dns/")))?;
    let end = frames.iter().rposition(|f| own(f).is_some())?;
    let (ours, called) = (&frames[begin..=end], &frames[end + 1..]);
    let mut names: Vec<String> = ours
        .iter()
        .filter_map(|f| {
            let module =
                own(f)?.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
            let name = last_segment(&f.name);
            // Closures and the bodies of async functions lie in what they belong to.
            (!name.starts_with('{')).then(|| format!("{module}::{name}"))
        })
        .collect();
    // What is called first, and where it ends.
    for function in called.first().into_iter().chain(called.last()) {
        names.push(format!("{}::{}", package(function), last_segment(&function.name)));
    }
    names.dedup();
    Some(names)
}

/// The path of a file of ours below `src`.
fn own(function: &Function) -> Option<&str> {
    function.file.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src/"))
}

/// The package that the source is of; what has none is C's.
fn package(function: &Function) -> &str {
    let file = &function.file;
    if let Some((_, path)) = file.split_once("/library/") {
        return path.split('/').next().unwrap_or(path);
    }
    // What the standard library is made of.
    if file.contains("/rust/deps/") {
        return "std";
    }
    let Some((_, path)) = file.split_once("/registry/src/") else { return c(&function.name) };
    // registry/src/INDEX/NAME-VERSION/src/...
    let folder = path.split('/').nth(1).unwrap_or(path);
    folder.rsplit_once('-').map_or(folder, |(name, _)| name)
}

/// What C's library does itself, or has the system do.
fn c(name: &str) -> &'static str {
    if CALLS.iter().any(|call| name.contains(call)) { "system" } else { "libc" }
}

/// A name without its path and type parameters.
fn last_segment(name: &str) -> String {
    let mut depth = 0_u32;
    let mut plain = String::new();
    for letter in name.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    let plain = plain.trim_end_matches("::");
    plain.rsplit("::").next().unwrap_or(plain).to_owned()
}

/// How the names of system calls begin.
pub(crate) const SYSTEM: &str = "system::";
const CALLS: [&str; 5] = ["sendm", "recvm", "syscall", "epoll", "futex"];
