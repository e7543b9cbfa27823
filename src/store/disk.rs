//! A disk for tests: in memory, remembers what was written between syncs, and fails on demand.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use rand::rngs::StdRng;
use redb::StorageBackend;

/// A disk that is shared between the test and the store on it.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    /// How many more operations succeed.
    budget: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

impl Disk {
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { bytes, ..State::default() })))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// Everything that was done to the disk, in order.
    pub(super) fn operations(&self) -> Vec<Operation> {
        self.state().operations.clone()
    }

    /// From now on, all operations but the next `count` fail as on a full disk.
    pub(super) fn fill_after(&self, count: usize) {
        self.state().budget = Some(count);
    }

    /// Ends that, and tells whether anything failed.
    pub(super) fn heal(&self) -> bool {
        self.state().budget.take() == Some(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn perform(&self, operation: Operation) -> io::Result<()> {
        let mut state = self.state();
        match &mut state.budget {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        operation.apply(&mut state.bytes);
        state.operations.push(operation);
        Ok(())
    }
}

impl Operation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let offset = usize::try_from(*offset).unwrap();
                let end = offset + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[offset..end].copy_from_slice(data);
            }
            Self::SetLen(len) => bytes.resize(usize::try_from(*len).unwrap(), 0),
            Self::Sync => {}
        }
    }
}

/// What a disk holds that was killed with its server: all that was written.
pub(super) fn after_kill(start: &[u8], operations: &[Operation]) -> Vec<u8> {
    let mut bytes = start.to_vec();
    operations.iter().for_each(|operation| operation.apply(&mut bytes));
    bytes
}

/// What a disk may hold that lost power: all that was synced, and any sectors of the rest. The
/// length of a file goes through the journal of the file system, so it changes in order.
pub(super) fn after_power_loss(
    start: &[u8],
    operations: &[Operation],
    rng: &mut StdRng,
) -> Vec<u8> {
    let synced = operations.iter().rposition(|operation| matches!(operation, Operation::Sync));
    let (safe, rest) = operations.split_at(synced.map_or(0, |sync| sync + 1));
    let mut bytes = after_kill(start, safe);
    let share = rng.random_range(0.0..=1.0);
    for operation in rest {
        let Operation::Write(offset, data) = operation else {
            operation.apply(&mut bytes);
            continue;
        };
        for (sector, data) in data.chunks(SECTOR).enumerate() {
            if rng.random_bool(share) {
                let offset = offset + (sector * SECTOR) as u64;
                Operation::Write(offset, data.to_vec()).apply(&mut bytes);
            }
        }
    }
    bytes
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let range = offset..offset.saturating_add(out.len());
        let found = state.bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.perform(Operation::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.perform(Operation::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.perform(Operation::Write(offset, data.to_vec()))
    }
}

const SECTOR: usize = 512;
