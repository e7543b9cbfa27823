//! What is not restored, of which nothing is then.

use super::*;

#[test]
fn what_is_not_a_whole_snapshot_of_this_version_is_refused_and_changes_nothing() {
    let mut server = furnished();
    done(&server, &["save", "good.jsonl"]);
    server.terminate();
    let text = fs::read_to_string(server.folder().join("good.jsonl")).unwrap();
    let (header, entries, _) = lines(&server.folder().join("good.jsonl"));
    let whole: Vec<Value> = [&[header][..], &entries].concat();
    let with = |line: usize, pointer: &str, value: Value| {
        let mut lines = whole.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        lines[line - 1].pointer_mut(parent).unwrap()[key] = value;
        sealed(&lines)
    };
    let swapped = |a: usize, b: usize| {
        let mut lines = whole.clone();
        lines.swap(a - 1, b - 1);
        sealed(&lines)
    };
    let twice = {
        let mut lines = whole.clone();
        lines.push(lines.last().unwrap().clone());
        sealed(&lines)
    };
    let half = &text[..text.len() / 2];
    let cut = half.lines().count();
    let cases = [
        (String::new(), "line 1: this is not a signpost snapshot".to_owned()),
        ("[server]\n".to_owned(), "line 1: this is not a signpost snapshot".to_owned()),
        ("{}\n".to_owned(), "line 1: this is not a signpost snapshot".to_owned()),
        ("x".repeat(3 << 20), "line 1: this is not a signpost snapshot".to_owned()),
        (half.to_owned(), format!("line {cut}: it ends here")),
        (text.trim_end().to_owned(), "line 8: it ends here".to_owned()),
        (text.split_inclusive('\n').take(4).collect(), "line 5: it ends here".to_owned()),
        (text.replace("10.0.0.1", "10.0.0.7"), "the hash of the lines is another".to_owned()),
        (format!("{text}{{}}\n"), "line 9: there is more behind the last line".to_owned()),
        (
            text.split_inclusive('\n').filter(|l| !l.contains("web-2")).collect(),
            "line 7".to_owned(),
        ),
        (with(1, "/version", json!(2)), "line 1: it has format version 2, this".to_owned()),
        (with(1, "/instances", json!(4)), "line 8: lines are missing or were added".to_owned()),
        (with(1, "/colour", json!("red")), "line 1: unknown field `colour`".to_owned()),
        (with(1, "/zone", json!("other.local")), "it is of the zone other.local".to_owned()),
        (with(2, "/override/settings/x", json!(1)), "line 2: unknown field `x`".to_owned()),
        (with(5, "/instance/record/colour", json!(1)), "line 5: unknown field `colour`".to_owned()),
        (with(5, "/instance/record/instance/weight", json!(0)), "line 5: ".to_owned()),
        (with(5, "/instance/service", json!("-x")), "line 5: ".to_owned()),
        (with(5, "/instance/service", json!("ns1")), "line 5: ns1/a: ".to_owned()),
        (with(5, "/secret", json!({})), "line 5: ".to_owned()),
        (swapped(5, 6), "line 6: api a is there twice, or not in its order".to_owned()),
        (twice, "line 8: web web-2 is there twice".to_owned()),
    ];
    let before = contents(&data(&server));

    for (i, (content, expected)) in cases.iter().enumerate() {
        fs::write(server.folder().join("bad.jsonl"), content).unwrap();
        let said = failed(&server, &["restore", "--replace", "bad.jsonl"]);
        assert!(said.contains(expected), "{i}: {said}\nand not {expected}");
        assert_eq!(contents(&data(&server)), before, "{i}: {said}");
    }
    assert!(failed(&server, &["restore", "none.jsonl"]).contains("cannot open none.jsonl"));
    fs::write(server.folder().join("other.jsonl"), &cases[13].0).unwrap();
    done(&server, &["restore", "--replace", "--other-zone", "other.jsonl"]);
}

/// The files of a folder and what is in them.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

#[test]
fn limits_hold_for_what_is_restored() {
    let mut server = Server::start("");
    for i in 1..=3 {
        let body = json!({ "addresses": [format!("10.0.0.{i}")], "ttl": null });
        server.http.register("web", &format!("web-{i}"), &body);
    }
    server.http.set("api", &json!({}));
    done(&server, &["save", "backup.jsonl"]);
    server.terminate();
    for (limits, expected) in [
        ("instances = 2", "it holds 3 instances, limits.instances = 2 allows no more"),
        ("instances_per_service = 2", "line 5: web/web-3: the limit instances_per_service = 2"),
        ("services = 1", "the limit services = 1 is reached"),
        ("allow = [\"10.0.0.0/31\"]", "line 4: web/web-2: "),
    ] {
        server.write_config(&format!("[limits]\n{limits}\n"));

        let said = failed(&server, &["restore", "--replace", "backup.jsonl"]);

        assert!(said.contains(expected), "{limits}: {said}");
    }
}

#[test]
fn the_folder_of_a_running_server_is_refused() {
    let server = furnished();
    done(&server, &["save", "backup.jsonl"]);
    let before = shown(&server);

    let said = failed(&server, &["restore", "--replace", "backup.jsonl"]);

    assert!(said.contains("is in use by another signpost; stop it first"), "{said}");
    assert_eq!(shown(&server), before);
}
