//! The counts that are kept beside the code, and what new ones say against them.
//!
//! `tests/instructions.rs` has this file too, to show that a rise is found.

use std::fmt::{self, Display, Formatter};

use serde::Deserialize;

/// What each row cost when it was counted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Baseline {
    /// What compiled it, and for which processor.
    pub(crate) made: Made,
    /// In the order in which they are counted.
    pub(crate) rows: Vec<Row>,
}

/// What else a count depends on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Made {
    /// As `rustc --version` says it.
    pub(crate) rustc: String,
    /// As Rust names it: counts of two processors say nothing of each other.
    pub(crate) processor: String,
}

/// One thing that is done again and again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Row {
    /// What is done.
    pub(crate) name: String,
    /// Once, in user space.
    pub(crate) instructions: u64,
}

/// New counts beside the old ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compared {
    /// What holds for all rows.
    notes: Vec<String>,
    rows: Vec<(Row, Verdict)>,
}

/// What a new count means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is within the tolerance of the old one.
    Same(u64),
    /// It is more than that above the old one.
    Rose(u64),
    /// It is more than that below the old one.
    Fell(u64),
    /// It has no old one.
    New,
    /// There is no new one: the row shows the old one.
    Gone,
    /// The old one was counted on another kind of processor.
    Apart,
}

impl Baseline {
    /// Reads what [`Display`] wrote.
    pub(crate) fn parse(text: &str) -> Self {
        toml::from_str(text).expect("the baseline is as --bless wrote it")
    }

    /// What `now` says against this.
    ///
    /// | old | new | verdict | fails |
    /// |---|---|---|---|
    /// | none | some | new | yes |
    /// | some | none | gone | yes |
    /// | some | over 5 % more | rose | yes |
    /// | some | over 5 % less | fell | no |
    /// | some | between | same | no |
    /// | on another processor | any | apart | no |
    pub(crate) fn compare(&self, now: &Self) -> Compared {
        let mut notes = Vec::new();
        let apart = self.made.processor != now.made.processor;
        if apart {
            notes.push(format!("nothing to compare with: the baseline is of {}", self.made));
        } else if self.made != now.made {
            notes.push(format!("made by {}, compared with {}", now.made, self.made));
        }
        let find = |rows: &[Row], name: &str| rows.iter().find(|row| row.name == name).cloned();
        let mut rows = Vec::new();
        for row in &now.rows {
            let verdict = match find(&self.rows, &row.name) {
                _ if apart => Verdict::Apart,
                None => Verdict::New,
                Some(old) => judge(old.instructions, row.instructions),
            };
            rows.push((row.clone(), verdict));
        }
        let gone = self.rows.iter().filter(|row| !apart && find(&now.rows, &row.name).is_none());
        rows.extend(gone.map(|row| (row.clone(), Verdict::Gone)));
        Compared { notes, rows }
    }
}

impl Compared {
    /// Whether the change that was counted must not go in as it is.
    pub(crate) fn fails(&self) -> bool {
        self.rows.iter().any(|(_, verdict)| match verdict {
            Verdict::Rose(_) | Verdict::New | Verdict::Gone => true,
            Verdict::Same(_) | Verdict::Fell(_) | Verdict::Apart => false,
        })
    }
}

fn judge(old: u64, new: u64) -> Verdict {
    let change = new.abs_diff(old) * 100;
    match () {
        () if change <= old * TOLERANCE => Verdict::Same(old),
        () if new > old => Verdict::Rose(old),
        () => Verdict::Fell(old),
    }
}

impl Display for Baseline {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Instructions in user space, packet to reply or change to its reply.")?;
        writeln!(f, "# Written by `cargo bench --bench instructions -- --bless`.")?;
        let Made { rustc, processor } = &self.made;
        writeln!(f, "made = {{ rustc = {rustc:?}, processor = {processor:?} }}")?;
        writeln!(f, "rows = [")?;
        for Row { name, instructions } in &self.rows {
            writeln!(f, "    {{ name = {name:?}, instructions = {instructions} }},")?;
        }
        writeln!(f, "]")
    }
}

impl Display for Made {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.rustc, self.processor)
    }
}

impl Display for Compared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        writeln!(f, "{:<36} {:>12} {:>12}", "row", "baseline", "now")?;
        for (Row { name, instructions: count }, verdict) in &self.rows {
            let (old, new, remark) = match verdict {
                Verdict::Same(old) => (Some(old), Some(count), String::new()),
                Verdict::Rose(old) => (Some(old), Some(count), rise(*old, *count)),
                Verdict::Fell(old) => {
                    let remark = "fell: renew the baseline with -- --bless".to_owned();
                    (Some(old), Some(count), remark)
                }
                Verdict::New => (None, Some(count), "NEW: add it with -- --bless".to_owned()),
                Verdict::Gone => (Some(count), None, "GONE: remove it with -- --bless".to_owned()),
                Verdict::Apart => (None, Some(count), String::new()),
            };
            let figure = |count: Option<&u64>| count.map_or_else(|| "-".to_owned(), u64::to_string);
            let line = format!("{name:<36} {:>12} {:>12}  {remark}", figure(old), figure(new));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn rise(old: u64, new: u64) -> String {
    let tenths = (new - old) * 1_000 / old.max(1);
    format!("ROSE by {}.{} %, from {old} to {new}", tenths / 10, tenths % 10)
}

/// In percent. What chance and the machine's libc add is below 1.
const TOLERANCE: u64 = 5;
