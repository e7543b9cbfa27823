//! Finds arrays and objects where the contract has others.
//!
//! serde reads a struct also from an array, field by field in the order of the source, and a word
//! also from an object, `{"draining": null}`. No client should come to rely on that, so such bodies
//! are refused.

/// Where in `json`, which is valid, an array stands that is not one of the contract's lists, or an
/// object that is not one of its objects, and what to say of it; the path is empty for the whole.
/// `list` tells whether the whole is a list.
pub(crate) fn misplaced(json: &[u8], list: bool) -> Option<(String, &'static str)> {
    let mut levels: Vec<Level<'_>> = Vec::new();
    let mut rest = json;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'"' => {
                let text = string(tail);
                rest = tail.get(text.len() + 1..).unwrap_or_default();
                if let Some(Level::Object { key: key @ None }) = levels.last_mut() {
                    *key = Some(text);
                }
            }
            b'{' => {
                let legal = match levels.last() {
                    None | Some(Level::Array { .. }) => true,
                    Some(Level::Object { key }) => key.is_some_and(|key| OBJECTS.contains(&key)),
                };
                if !legal {
                    return Some((path(&levels), "a plain value is needed here, not an object"));
                }
                levels.push(Level::Object { key: None });
            }
            b'[' => {
                let legal = match levels.last() {
                    None => list,
                    Some(Level::Object { key }) => key.is_some_and(|key| LISTS.contains(&key)),
                    Some(Level::Array { .. }) => false,
                };
                if !legal {
                    return Some((path(&levels), "an object is needed here, not an array"));
                }
                levels.push(Level::Array { index: 0 });
            }
            b'}' | b']' => drop(levels.pop()),
            b',' => match levels.last_mut() {
                Some(Level::Object { key }) => *key = None,
                Some(Level::Array { index }) => *index += 1,
                None => {}
            },
            _ => {}
        }
    }
    None
}

/// Where the scan is.
enum Level<'a> {
    /// In an object, behind this key.
    Object { key: Option<&'a [u8]> },
    /// In an array, at this element.
    Array { index: usize },
}

/// What is before the closing quote of the string that begins here.
fn string(json: &[u8]) -> &[u8] {
    let mut escaped = false;
    let end = json.iter().position(|byte| {
        let closing = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closing
    });
    // Valid JSON closes its strings.
    &json[..end.unwrap_or(json.len())]
}

fn path(levels: &[Level<'_>]) -> String {
    let mut path = String::new();
    for level in levels {
        match level {
            Level::Object { key } => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&String::from_utf8_lossy(key.unwrap_or_default()));
            }
            Level::Array { index } => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

/// Every field of the contract that is a list.
const LISTS: [&[u8]; 13] = [
    b"addresses",
    b"ports",
    b"tags",
    b"dependencies",
    b"register",
    b"deregister",
    b"txt",
    b"checks",
    b"expect",
    b"warn",
    b"scopes",
    b"services",
    b"networks",
];

/// Every field of the contract that is an object.
const OBJECTS: [&[u8]; 4] = [b"metadata", b"locality", b"load", b"headers"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_and_objects_are_legal_only_where_the_contract_has_them() {
        for (json, list, found) in [
            (r#"{"addresses":["a","b"],"ports":[{"port":1}]}"#, false, None),
            (r#"[{"load":{"cpu":1}},{}]"#, true, None),
            (r#"{"a":"[\"[","b\"":"\\","tags":[]}"#, false, None),
            ("[]", false, Some("")),
            (r#"{"load":[1]}"#, false, Some("load")),
            (r#"[{},{"load":[]}]"#, true, Some("[1].load")),
            (r#"[[]]"#, true, Some("[0]")),
            (r#"{"ports":[{"port":1},["http",80]]}"#, false, Some("ports[1]")),
            (r#"{"register":[{"locality":[]}]}"#, false, Some("register[0].locality")),
            (r#"{"metadata":{"a":"b"},"locality":{},"load":{}}"#, false, None),
            (r#"{"admin":{"draining":null}}"#, false, Some("admin")),
            (r#"[{"status":{}}]"#, true, Some("[0].status")),
        ] {
            let place = misplaced(json.as_bytes(), list).map(|(place, _)| place);
            assert_eq!(place.as_deref(), found, "{json}");
        }
    }
}
