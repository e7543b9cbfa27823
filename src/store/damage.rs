//! A damaged file is refused, or it still gives everything; it never gives less.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::Error;

use crate::model::{Change, Image, Revision};
use crate::store::contract::{commit, name, put, record};
use crate::store::disk::Disk;
use crate::store::embedded::{contained, recognise};
use crate::store::frame::{Frame, RESERVE};
use crate::store::reopen::reopen;
use crate::store::tables::Tables;
use crate::store::{Embedded, Store, StoreError};

/// A registry of several pages and commits on a disk of its own: after a clean end or a crash.
fn registry(clean: bool) -> (Vec<u8>, Image) {
    let disk = Disk::default();
    Tables::create(Frame::create(Box::new(disk.clone())).unwrap()).unwrap();
    let mut tables = opened(&disk).unwrap();
    tables.begin().unwrap();
    for n in 1..=40_u64 {
        let changes: Vec<Change> =
            (n * 8..n * 8 + 8).map(|i| put("web", &format!("i{i:04}"), i)).collect();
        tables.commit(&commit(n, changes)).unwrap();
    }
    // The last commit is a small one, as it is when a server dies soon after a registration.
    tables.commit(&commit(41, vec![put("api", "last", 7)])).unwrap();
    let mut image = Image { revision: Revision(41), ..Image::default() };
    image.instances.push((name("api"), record("last", 7)));
    image.instances.extend((8..328).map(|i| (name("web"), record(&format!("i{i:04}"), i))));
    if clean {
        tables.close(Revision(41)).unwrap();
        (disk.bytes(), image)
    } else {
        image.revision.0 = 41 + RESERVE;
        (disk.bytes(), image)
    }
}

fn opened(disk: &Disk) -> Result<Tables, StoreError> {
    recognise(Box::new(disk.clone()), Path::new("data"), Path::new("data/registry.redb"))
}

/// What a start from `disk` gives.
fn start(disk: &Disk) -> Result<Image, String> {
    let mut tables = opened(disk).map_err(|error| error.to_string())?;
    let started = contained(|| {
        let (revision, _) = tables.begin()?;
        Ok::<_, Error>(Image { revision, ..tables.image()? })
    });
    started.map_err(|error| error.to_string())
}

/// Tells the whole from the refused, and panics at anything else. Starting once more must not give
/// less either, whatever the first start did to the file.
fn refused(bytes: Vec<u8>, whole: &Image, damage: &str) -> bool {
    let disk = Disk::holding(bytes);
    let refused = refused_once(&disk, whole, damage);
    if refused {
        refused_once(&disk, whole, &format!("{damage}, second start"));
    }
    refused
}

fn refused_once(disk: &Disk, whole: &Image, damage: &str) -> bool {
    match start(disk) {
        Ok(image) => {
            assert_eq!(image.instances, whole.instances, "{damage}");
            // The mark of a clean end may be what was lost; that skips revisions.
            assert!(image.revision >= whole.revision, "{damage}");
            false
        }
        Err(reason) => {
            assert!(!reason.is_empty(), "{damage}");
            true
        }
    }
}

#[test]
fn an_undamaged_file_gives_everything() {
    for clean in [true, false] {
        let (bytes, whole) = registry(clean);

        assert_eq!(start(&Disk::holding(bytes)), Ok(whole));
    }
}

#[test]
fn a_truncated_file_is_refused_or_whole() {
    for clean in [true, false] {
        let (bytes, whole) = registry(clean);
        let pages = (0..bytes.len() / 4096).map(|page| page * 4096);
        let near = pages.flat_map(|size| [size.saturating_sub(1), size, size + 1, size + 512]);
        let odd = [2, 15, 16, 17, 28, 600, 5000, bytes.len() / 2, bytes.len() - 1];

        for size in near.chain(odd).filter(|size| *size < bytes.len()) {
            let cut = bytes[..size].to_vec();
            let refused = refused(cut, &whole, &format!("clean {clean}, cut to {size}"));
            assert!(refused || size > bytes.len() / 2, "clean {clean}, cut to {size}");
        }
    }
}

#[test]
fn a_longer_file_is_refused_or_whole() {
    for clean in [true, false] {
        let (bytes, whole) = registry(clean);

        for extra in [1, 512, 4096, 1 << 20] {
            let longer = [bytes.clone(), vec![0xAA; extra]].concat();
            refused(longer, &whole, &format!("clean {clean}, {extra} bytes added"));
        }
    }
}

#[test]
fn a_flipped_bit_in_a_header_is_refused_or_whole() {
    for clean in [true, false] {
        let (bytes, whole) = registry(clean);
        let ours = (0..32).chain(512..560).chain(1024..1072);
        let redbs = 4096..4096 + 320;

        for place in ours.chain(redbs) {
            // All bits of redb's flags, by which one byte chooses between two states.
            let bits = if place == 4096 + 9 { 0..8 } else { place % 8..place % 8 + 1 };
            for bit in bits {
                let mut bytes = bytes.clone();
                bytes[place] ^= 1 << bit;
                refused(bytes, &whole, &format!("clean {clean}, bit {bit} of byte {place}"));
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_or_whole() {
    let mut rng = StdRng::seed_from_u64(1);
    for clean in [true, false] {
        let (bytes, whole) = registry(clean);
        let mut hits = 0;

        for _ in 0..600 {
            let (place, bit) = (rng.random_range(0..bytes.len()), rng.random_range(0..8));
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << bit;
            let damage = format!("clean {clean}, bit {bit} of byte {place}");
            hits += u32::from(refused(bytes, &whole, &damage));
        }

        assert!(hits > 20, "the flips hit nothing that matters: {hits}");
    }
}

#[test]
fn a_lost_or_misplaced_page_is_refused_or_whole() {
    for clean in [true, false] {
        let (bytes, whole) = registry(clean);
        let pages = bytes.len() / 4096;

        for page in 0..pages {
            let place = page * 4096..page * 4096 + 4096;
            let mut zeroed = bytes.clone();
            zeroed[place.clone()].fill(0);
            refused(zeroed, &whole, &format!("clean {clean}, page {page} zeroed"));
            let mut swapped = bytes.clone();
            let other = (page + 1) % pages * 4096;
            swapped.copy_within(place, other);
            refused(swapped, &whole, &format!("clean {clean}, page {page} written over the next"));
        }
    }
}

#[test]
fn an_older_database_under_a_newer_mark_is_refused() {
    let (mut bytes, _) = registry(true);
    let disk = Disk::holding(bytes.clone());
    let mut tables = opened(&disk).unwrap();
    tables.commit(&commit(50, vec![])).unwrap();
    bytes[..4096].copy_from_slice(&disk.bytes()[..4096]);

    let error = start(&Disk::holding(bytes)).unwrap_err();

    assert_eq!(
        error,
        "data/registry.redb is torn or damaged (commit 43 is missing, 42 is the last); restore a \
         copy of it, or move it away to start empty"
    );
}

/// The same through the file system: the words, and the file left as it was.
#[test]
fn a_refused_file_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.redb");
    Box::new(reopen(folder.path())).close(Revision(9)).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let path = file.display();
    let torn = |reason: &str| {
        format!(
            "{path} is torn or damaged ({reason}); restore a copy of it, or move it away to start \
             empty"
        )
    };
    let foreign =
        format!("{path} is not a signpost registry; move it away, or set another server.data_dir");
    let cases = [
        (vec![], torn("the file is cut short")),
        (whole[..1].to_vec(), torn("the file is cut short")),
        (whole[..4096].to_vec(), torn("the file is cut short")),
        (b"redb\x1a\x0a\xa9\x0d\x0a and more".to_vec(), foreign.clone()),
        (b"[server]\n".to_vec(), foreign),
    ];

    for (bytes, expected) in cases {
        std::fs::write(&file, &bytes).unwrap();

        assert_eq!(Embedded::open(folder.path()).unwrap_err().to_string(), expected);
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
    }

    std::fs::write(&file, &whole).unwrap();
    let mut store = reopen(folder.path());
    assert_eq!(store.load().unwrap(), Image { revision: Revision(9), ..Image::default() });
}
