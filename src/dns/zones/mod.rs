//! Static zones from master files, and the static records of the server's own zone.
//!
//! Read once at start and at each reload, then only asked. Each file is one zone: its origin is
//! the owner of its SOA, or `$ORIGIN` in a file without SOA for the server's own zone.

mod answer;
mod file;
mod lookup;
mod rdata;
mod server_zone;
mod text;
mod zone;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;

pub use answer::{Outcome, write, write_host};
pub use lookup::{End, Found};
pub use server_zone::{ServerZone, SoaTimers};
pub use zone::{Node, RecordSet, Zone};

use crate::dns::name::{Name, is_within, labels, suffixes};
use crate::dns::rtype;
use file::{EntryError, File, FileRecord};

/// All static data.
#[derive(Debug, Default, PartialEq)]
pub struct Zones {
    zones: HashMap<Box<[u8]>, Zone, RandomState>,
    /// No origin has more labels.
    max_labels: usize,
    /// The names above the origins.
    above: HashSet<Box<[u8]>, RandomState>,
    server: Option<ServerZone>,
}

/// Reads the files. `server_zone` is the server's own zone; a file for it adds to what the
/// registry answers, any other file is a zone of its own.
///
/// # Errors
/// The first file that cannot be used, with the line when it is about one.
pub fn load(paths: &[PathBuf], server_zone: &Name) -> Result<Zones, ZoneError> {
    let read = |path: &PathBuf| match std::fs::read(path) {
        Ok(text) => Ok((path.clone(), text)),
        Err(source) => Err(ZoneError::Read { file: path.clone(), source }),
    };
    let files = paths.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    parse(&files, server_zone)
}

/// [`load`], of files that were read: each with its path, for the errors.
///
/// # Errors
/// The first file that cannot be used, with the line when it is about one.
pub fn parse(files: &[(PathBuf, Vec<u8>)], server_zone: &Name) -> Result<Zones, ZoneError> {
    let server_zone = server_zone.folded();
    let mut zones = Zones::default();
    let mut origins: Vec<(Name, &Path)> = Vec::new();
    for (path, text) in files {
        let file = file::read(text)
            .map_err(|(line, error)| ZoneError::at(path, line, EntryProblem::Entry(error)))?;
        let origin = origin(&file, path, &server_zone)?;
        if let Some((_, first)) = origins.iter().find(|(known, _)| *known == origin) {
            return Err(ZoneError::Twice {
                file: path.clone(),
                origin: origin.to_string(),
                first: first.to_path_buf(),
            });
        }
        origins.push((origin, path));
        let zone = build(&file.records, origin, path)?;
        if origin == server_zone {
            zones.server = Some(ServerZone::new(zone));
        } else {
            zones.max_labels = zones.max_labels.max(labels(origin.wire()).count());
            zones.above.extend(suffixes(origin.wire()).skip(1).map(Into::into));
            zones.zones.insert(origin.wire().into(), zone);
        }
    }
    Ok(zones)
}

impl Zones {
    /// The zone closest above `name` (or at it), among those whose apex is longer than
    /// `longer_than` bytes: the apex of the server's own zone that the name is in, else 0.
    #[must_use]
    pub fn find(&self, name: &[u8], longer_than: usize) -> Option<&Zone> {
        let skip = labels(name).count().saturating_sub(self.max_labels);
        suffixes(name)
            .skip(skip)
            .take_while(|suffix| suffix.len() > longer_than)
            .find_map(|suffix| self.zones.get(suffix))
    }

    /// Whether a zone begins below `name`, in lower case: then the name exists (RFC 8020), also in a
    /// zone around it that knows nothing of that one.
    #[must_use]
    pub fn any_below(&self, name: &[u8]) -> bool {
        self.above.contains(name)
    }

    /// The static records of the server's own zone, if a file has any.
    #[must_use]
    pub fn server(&self) -> Option<&ServerZone> {
        self.server.as_ref()
    }

    /// The apex of each static zone, the server's own aside.
    pub fn origins(&self) -> impl Iterator<Item = &[u8]> {
        self.zones.keys().map(|apex| &**apex)
    }
}

/// Why the static zones cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// The file cannot be read.
    #[error("cannot read zone file {}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An entry is wrong, or does not go with the others.
    #[error("{}:{line}: {reason}", file.display())]
    Entry {
        /// Which file.
        file: PathBuf,
        /// The line that the entry begins on, from 1.
        line: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// The file has no SOA, and is not for the server's own zone.
    #[error(
        "{}: no SOA record; a file without one needs $ORIGIN {server_zone} (the server's zone)",
        file.display()
    )]
    NoSoa {
        /// Which file.
        file: PathBuf,
        /// The server's own zone.
        server_zone: String,
    },
    /// Two files are for one zone.
    #[error("{}: zone {origin} is already in {}", file.display(), first.display())]
    Twice {
        /// The second file.
        file: PathBuf,
        /// The zone.
        origin: String,
        /// The first file.
        first: PathBuf,
    },
    /// A zone that must not be served.
    #[error("{}: zone {origin} is not served: it belongs to others", file.display())]
    Forbidden {
        /// Which file.
        file: PathBuf,
        /// The zone.
        origin: String,
    },
}

impl ZoneError {
    fn at(file: &Path, line: u32, problem: EntryProblem) -> Self {
        Self::Entry { file: file.to_path_buf(), line, reason: problem.to_string() }
    }
}

/// What can be wrong with an entry, alone or among the others.
#[derive(Debug, thiserror::Error)]
enum EntryProblem {
    #[error(transparent)]
    Entry(EntryError),
    #[error("a second SOA; a file is one zone")]
    SecondSoa,
    #[error("{owner} is not in zone {origin}")]
    Outside { owner: String, origin: String },
    #[error("{owner} has a CNAME, and then no other record may be there (RFC 1034 section 3.6.2)")]
    CnameAndOther { owner: String },
}

/// The zone that a file is for.
fn origin(file: &File, path: &Path, server_zone: &Name) -> Result<Name, ZoneError> {
    let mut soas = file.records.iter().filter(|record| record.rtype == rtype::SOA);
    let origin = match (soas.next(), file.origin) {
        (Some(soa), _) => soa.owner,
        (None, Some(origin)) if origin == *server_zone => origin,
        (None, _) => {
            return Err(ZoneError::NoSoa {
                file: path.to_path_buf(),
                server_zone: server_zone.to_string(),
            });
        }
    };
    if let Some(second) = soas.next() {
        return Err(ZoneError::at(path, second.line, EntryProblem::SecondSoa));
    }
    // `local.` is multicast DNS (RFC 6762): answering for it breaks other machines' lookups.
    if [b"\x00".as_slice(), b"\x05local\x00"].contains(&origin.wire()) {
        return Err(ZoneError::Forbidden { file: path.to_path_buf(), origin: origin.to_string() });
    }
    Ok(origin)
}

fn build(records: &[FileRecord], origin: Name, path: &Path) -> Result<Zone, ZoneError> {
    let mut zone = Zone::new(origin);
    for record in records {
        let problem = |problem| Err(ZoneError::at(path, record.line, problem));
        let owner = record.owner;
        if !is_within(owner.wire(), origin.wire()) {
            let (owner, origin) = (owner.to_string(), origin.to_string());
            return problem(EntryProblem::Outside { owner, origin });
        }
        let alias = record.rtype == rtype::CNAME;
        let known = zone.node(owner.wire()).map_or(&[][..], Node::sets);
        // A second, different CNAME is "other data" too; the same one again is not.
        let clash = known.iter().any(|set| match (alias, set.rtype == rtype::CNAME) {
            (true, true) => *set.data[0] != *record.rdata,
            (alias, known_alias) => alias || known_alias,
        });
        if clash {
            return problem(EntryProblem::CnameAndOther { owner: owner.to_string() });
        }
        zone.insert(&owner, record.rtype, record.ttl, &record.rdata);
    }
    Ok(zone)
}

/// The zone of a master file's text, as a file for the server's own zone when it has no SOA.
#[cfg(test)]
fn zone_of(text: &str) -> Zone {
    let file = file::read(text.as_bytes()).unwrap();
    let path = Path::new("test.zone");
    let origin = origin(&file, path, &file.origin.unwrap()).unwrap();
    build(&file.records, origin, path).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text, None).unwrap()
    }

    /// Writes the files into a folder and loads them; errors come without the folder.
    fn load_texts(texts: &[&str]) -> Result<Zones, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            paths.push(folder.path().join(format!("{index}.zone")));
            std::fs::write(&paths[index], text).unwrap();
        }
        load(&paths, &name("Service.local.")).map_err(|error| {
            error.to_string().replace(&format!("{}/", folder.path().display()), "")
        })
    }

    const EXAMPLE: &str =
        "$ORIGIN Example.org.\n@ 5 SOA ns h 1 2 3 4 5\n@ 5 NS ns\nns 5 A 10.0.0.1\n";
    const SUB: &str = "$ORIGIN sub.example.org.\n@ 5 SOA ns h 1 2 3 4 5\n";
    const OWN: &str =
        "$ORIGIN service.local.\n$TTL 9\nwww A 10.0.0.9\n*.w A 10.0.0.8\na.b A 10.0.0.7\n";

    #[test]
    fn the_zone_closest_to_a_name_is_found() {
        let zones = load_texts(&[EXAMPLE, SUB, OWN]).unwrap();
        let find = |text: &str, longer_than| {
            let zone = zones.find(name(text).wire(), longer_than)?;
            Some(zone.apex.to_string())
        };

        assert_eq!(find("example.org.", 0).as_deref(), Some("example.org."));
        assert_eq!(find("a.b.c.d.example.org.", 0).as_deref(), Some("example.org."));
        assert_eq!(find("a.sub.example.org.", 0).as_deref(), Some("sub.example.org."));
        assert_eq!(find("xsub.example.org.", 0).as_deref(), Some("example.org."));
        assert_eq!(find("a.sub.example.org.", 13).as_deref(), Some("sub.example.org."));
        assert_eq!(find("a.example.org.", 13), None);
        for outside in ["org.", ".", "xexample.org.", "www.service.local."] {
            assert_eq!(find(outside, 0), None, "{outside}");
        }
    }

    #[test]
    fn the_own_zone_gives_what_its_file_says_and_needs_no_soa() {
        let soa = "@ SOA x Host\\.Master.x. 7 1h 1m 1w 9\n@ NS ns.x.\n";
        let bare = load_texts(&[OWN]).unwrap();
        let full = load_texts(&[&format!("{OWN}{soa}")]).unwrap();
        let (bare, full) = (bare.server().unwrap(), full.server().unwrap());

        assert_eq!(bare.timers(), None);
        assert_eq!(bare.name_servers(), None);
        let rname = name("Host\\.Master.x.");
        let timers = SoaTimers { rname, refresh: 3600, retry: 60, expire: 604_800 };
        assert_eq!(full.timers(), Some(&timers));
        let servers =
            RecordSet { rtype: rtype::NS, ttl: 9, data: vec![name("ns.x.").wire().into()] };
        assert_eq!(full.name_servers(), Some(&servers));
        assert!(full.static_name(name("www.service.local.").wire()).is_some());
        assert!(full.static_name(name("b.service.local.").wire()).is_none());
        assert!(full.static_name(name("web.service.local.").wire()).is_none());
    }

    #[test]
    fn what_cannot_be_served_is_refused_with_file_and_line() {
        for (texts, expected) in [
            (
                vec!["$ORIGIN x.\na 5 A 10.0.0.1\n"],
                "0.zone: no SOA record; a file without one needs $ORIGIN service.local. \
                 (the server's zone)",
            ),
            (
                vec!["\nx. 5 A 10.0.0\n"],
                "0.zone:2: \"10.0.0\" is not an address of the type's family",
            ),
            (vec![EXAMPLE, EXAMPLE], "1.zone: zone example.org. is already in 0.zone"),
            (vec![OWN, OWN], "1.zone: zone service.local. is already in 0.zone"),
            (
                vec!["local. 5 SOA a. b. 1 2 3 4 5"],
                "0.zone: zone local. is not served: it belongs to others",
            ),
            (vec![". 5 SOA a. b. 1 2 3 4 5"], "0.zone: zone . is not served: it belongs to others"),
        ] {
            assert_eq!(load_texts(&texts).err().as_deref(), Some(expected));
        }
        for (line, expected) in [
            ("@ 5 SOA ns h 9 2 3 4 5", "a second SOA; a file is one zone"),
            ("x.org. 5 A 10.0.0.1", "x.org. is not in zone example.org."),
            (
                "NS 5 CNAME x",
                "ns.example.org. has a CNAME, and then no other record may be there \
                 (RFC 1034 section 3.6.2)",
            ),
        ] {
            let error = load_texts(&[&format!("{EXAMPLE}{line}\n")]).err();
            assert_eq!(error, Some(format!("0.zone:5: {expected}")));
        }
        for lines in ["c 5 CNAME x\nc 5 A 10.0.0.1", "c 5 CNAME x\nc 5 CNAME y"] {
            let error = load_texts(&[&format!("{EXAMPLE}{lines}\n")]).err().unwrap();
            assert!(error.starts_with("0.zone:6: c.example.org. has a CNAME"), "{error}");
        }
        assert!(load_texts(&[&format!("{EXAMPLE}c 5 CNAME x\nc 5 CNAME x\n")]).is_ok());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(&["no/such.zone".into()], &name("service.local.")).unwrap_err();

        assert_eq!(error.to_string(), "cannot read zone file no/such.zone");
    }

    #[test]
    fn a_set_has_one_ttl_and_no_record_twice() {
        let zone = zone_of(&format!("{EXAMPLE}ns 3 A 10.0.0.2\nns 9 A 10.0.0.1\n"));

        let set = zone.node(name("ns.example.org.").wire()).unwrap().set(rtype::A).unwrap();

        let data: Vec<Box<[u8]>> = vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        assert_eq!(set, &RecordSet { rtype: rtype::A, ttl: 3, data });
    }
}
