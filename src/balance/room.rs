//! How many records the units of a pool bring, and so how many units fit.

/// How many records the most verbose 1, 2, .. units bring together.
#[derive(Debug)]
pub(super) enum Room {
    /// Each brings one, as nearly always: nothing to look up.
    OneEach(usize),
    /// These.
    Sums(Box<[u32]>),
}

impl Room {
    /// `records` are those of each unit.
    pub(super) fn of(mut records: Vec<u8>) -> Self {
        if records.iter().all(|&count| count == 1) {
            return Self::OneEach(records.len());
        }
        records.sort_unstable_by(|a, b| b.cmp(a));
        let sums = records.iter().scan(0, |sum, &count| {
            *sum += u32::from(count);
            Some(*sum)
        });
        Self::Sums(sums.collect())
    }

    /// How many of `k` units are sure to bring no more than `room` records; 1 when none is, 0 only
    /// when there are none.
    pub(super) fn fitting(&self, k: usize, room: usize) -> usize {
        match self {
            Self::OneEach(_) => k.min(room.max(1)),
            Self::Sums(sums) => {
                let sums = &sums[..k];
                match sums.last() {
                    Some(&all) if all as usize > room => {
                        sums.partition_point(|&sum| sum as usize <= room).max(1)
                    }
                    _ => k,
                }
            }
        }
    }

    /// How many records all units bring.
    pub(super) fn all(&self) -> usize {
        match self {
            Self::OneEach(units) => *units,
            Self::Sums(sums) => sums.last().map_or(0, |&all| all as usize),
        }
    }

    /// How many records a unit brings at most.
    pub(super) fn widest(&self) -> usize {
        match self {
            Self::OneEach(units) => (*units).min(1),
            Self::Sums(sums) => sums.first().map_or(0, |&widest| widest as usize),
        }
    }
}
