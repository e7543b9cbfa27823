//! What this server found out about an instance by itself, as against what was said of it.
//!
//! In memory only: after a restart it is found out again. The state changes it, views show it.

/// Findings about one instance. By default there are none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// It is full, or says that it has too much to do.
    pub overloaded: bool,
}

impl Observed {
    /// Why it is not usable; empty when all is well.
    pub fn reasons(&self) -> impl Iterator<Item = &'static str> + use<> {
        [self.overloaded.then_some(OVERLOADED)].into_iter().flatten()
    }
}

/// One finding, to be told to the registry.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Whether it is overloaded.
    Overloaded(bool),
}

impl Finding {
    /// Puts this in the place of what was found before.
    pub(crate) fn note(self, observed: &mut Observed) {
        match self {
            Self::Overloaded(overloaded) => observed.overloaded = overloaded,
        }
    }
}

/// Why an instance that is overloaded is not usable.
pub(crate) const OVERLOADED: &str = "overloaded";
