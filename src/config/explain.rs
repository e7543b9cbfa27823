//! Turns serde's words into ours: which key, what is wrong with it, and what to write instead.

use crate::config::key_path::KeyPath;

/// A deserialization error in our words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Explained {
    /// The key at fault.
    pub(super) key: KeyPath,
    /// Whether the key itself is wrong, not its value.
    pub(super) of_key: bool,
    /// What is wrong.
    pub(super) message: String,
    /// What to write instead.
    pub(super) hint: Option<String>,
}

/// Explains serde's `message` about the value at `key`; `also` are further keys legal in its table.
pub(super) fn explain(message: &str, key: &KeyPath, also: &[&str]) -> Explained {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field `") {
        let unknown = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.chain(also.iter().copied()).collect();
        return Explained {
            key: key.clone(),
            of_key: true,
            message: "unknown key".to_owned(),
            hint: Some(suggestion(unknown, &known)),
        };
    }
    if message.starts_with("missing field `") {
        return Explained {
            key: key.key(quoted.next().unwrap_or_default()),
            of_key: false,
            message: "is missing".to_owned(),
            hint: None,
        };
    }
    if message.starts_with("unknown variant `") {
        let unknown = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        return Explained {
            key: key.clone(),
            of_key: false,
            message: format!("unknown value {unknown:?}"),
            hint: Some(suggestion(unknown, &known)),
        };
    }
    // Values that are of the right form and out of bounds say so themselves.
    let malformed = !message.contains("write ") && !message.contains("out of range");
    let example = key.last_key().filter(|_| malformed).and_then(example);
    Explained {
        key: key.clone(),
        of_key: false,
        message: match message {
            "wanted string or table" => "expected a string".to_owned(),
            message => message.to_owned(),
        },
        hint: example.map(str::to_owned),
    }
}

/// The nearest of `known` when one is near, and all of them.
pub(super) fn suggestion(unknown: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|word| (distance(unknown, word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min();
    let all = known.join(", ");
    match near {
        Some((_, word)) => format!("did you mean `{word}`? allowed here: {all}"),
        None => format!("allowed here: {all}"),
    }
}

/// How a value of that key is written.
fn example(key: &str) -> Option<&'static str> {
    Some(match key {
        "ttl" | "negative_ttl" | "forget_after" => "write a duration: \"5s\", \"250ms\", \"2m\"",
        "addresses" => "write IP addresses: [\"10.0.0.11\", \"2001:db8::11\"]",
        "listen" => "write an address and a port: [\"127.0.0.1:8053\", \"[::1]:8053\"]",
        "allow" | "reverse" | "exempt" | "networks" => {
            "write networks: [\"10.0.0.0/8\", \"2001:db8::/32\"]"
        }
        "ports" => "write tables: [{ name = \"http\", port = 8080 }]",
        "client_prefix" => "write the lengths for IPv4 and IPv6: [24, 56]",
        "body" | "bulk_body" => "write a size: \"512KiB\", \"1MiB\"",
        "aliases" => "write names under which services are found too: [\"svc.internal\"]",
        "zones" => "write files or patterns: [\"zones/*.zone\"]",
        "ns" => "write host names: [\"ns1\", \"ns2.example.net\"]",
        "tags" => "write labels: [\"canary\", \"blue\"]",
        "metadata" => "write a table of texts: { version = \"1.4\" }",
        "locality" => "write a table: { region = \"eu\", zone = \"eu-1a\" }",
        _ => return None,
    })
}

/// How many characters to insert, delete, replace or swap with their neighbour to make one text of
/// the other (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut before = vec![0; to.len() + 1];
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i; to.len() + 1];
        for j in 1..=to.len() {
            let replaced = above[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (from, to, edits) in [
            ("", "", 0),
            ("abc", "", 3),
            ("lisen", "listen", 1),
            ("weigth", "weight", 1),
            ("dsn", "dns", 1),
            ("etcd", "memory", 5),
        ] {
            assert_eq!(distance(from, to), edits);
            assert_eq!(distance(to, from), edits);
        }
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["listen", "ttl"];

        assert_eq!(suggestion("lisen", &known), "did you mean `listen`? allowed here: listen, ttl");
        assert_eq!(suggestion("colour", &known), "allowed here: listen, ttl");
    }
}
