//! Signs of life of the threads that answer datagrams: who watches them learns which stand still.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The threads that are watched.
#[derive(Debug, Default)]
pub struct Pulses(Mutex<Vec<Arc<AtomicBool>>>);

/// One thread's own.
#[derive(Debug)]
pub(crate) struct Pulse(Arc<AtomicBool>);

impl Pulses {
    /// For one more thread, which has a sign of life to begin with.
    pub(crate) fn add(&self) -> Pulse {
        let beaten = Arc::new(AtomicBool::new(true));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&beaten));
        Pulse(beaten)
    }

    /// How many threads have given no sign of life since the last call. An idle one gives ten a
    /// second.
    pub fn still(&self) -> usize {
        let threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().filter(|beaten| !beaten.swap(false, Ordering::Relaxed)).count()
    }
}

impl Pulse {
    /// Gives a sign of life. Writes only where the last one has been noticed.
    pub(crate) fn beat(&self) {
        if !self.0.load(Ordering::Relaxed) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_beaten_since_the_last_look_stands_still() {
        let pulses = Pulses::default();
        let (first, _second) = (pulses.add(), pulses.add());

        assert_eq!(pulses.still(), 0);
        first.beat();
        assert_eq!(pulses.still(), 1);
        assert_eq!(pulses.still(), 2);
    }
}
