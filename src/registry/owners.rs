//! Who owns instances: names as numbers, since an instance has four bytes for it and no more, and
//! how many each owns.
//!
//! Only the state numbers names. Those that own nothing any more are dropped as they become many:
//! names are made by who makes tokens, and given back by nobody.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

use crate::model::Label;
use crate::registry::instance::InstanceView;

/// The number of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerNumber(NonZeroU32);

/// Names that own, or lately owned, an instance.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    numbers: HashMap<Label, OwnerNumber>,
    /// By number; a name that was dropped stays until another takes its number.
    owners: Vec<Owner>,
    free: Vec<OwnerNumber>,
    /// How many names own nothing.
    idle: usize,
    /// So many idle names are worth a look.
    prune_at: usize,
}

#[derive(Debug, Clone)]
struct Owner {
    name: Label,
    instances: usize,
}

impl Owners {
    /// The number of `name`, which it keeps for as long as it owns something.
    pub(crate) fn number(&mut self, name: &Label) -> OwnerNumber {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let owner = Owner { name: name.clone(), instances: 0 };
        let number = match self.free.pop() {
            Some(number) => {
                self.owners[index(number)] = owner;
                number
            }
            None => {
                self.owners.push(owner);
                let number = u32::try_from(self.owners.len()).ok().and_then(NonZeroU32::new);
                OwnerNumber(number.expect("one at least, and memory holds no four billion names"))
            }
        };
        self.numbers.insert(name.clone(), number);
        self.idle += 1;
        number
    }

    /// Counts an instance that is `owner`'s now, and was `before`'s.
    pub(crate) fn change(&mut self, before: Option<OwnerNumber>, owner: Option<OwnerNumber>) {
        if before == owner {
            return;
        }
        if let Some(number) = owner {
            let owner = &mut self.owners[index(number)];
            self.idle -= usize::from(owner.instances == 0);
            owner.instances += 1;
        }
        if let Some(number) = before {
            let owner = &mut self.owners[index(number)];
            owner.instances -= 1;
            self.idle += usize::from(owner.instances == 0);
        }
    }

    /// How many instances `name` owns.
    pub(crate) fn instances(&self, name: &Label) -> usize {
        self.numbers.get(name).map_or(0, |number| self.owners[index(*number)].instances)
    }

    /// Whether so many names own nothing that it is worth a look at which.
    pub(crate) fn worth_pruning(&self) -> bool {
        self.idle >= self.prune_at.max(SPARE)
    }

    /// Drops the names that own nothing and are not in `kept`: those of what may yet come back.
    pub(crate) fn prune(&mut self, kept: &HashSet<OwnerNumber>) {
        let owners = &self.owners;
        let idle = |number: OwnerNumber| owners[index(number)].instances == 0;
        let dropped = self.numbers.extract_if(|_, n| idle(*n) && !kept.contains(n));
        let before = self.free.len();
        self.free.extend(dropped.map(|(_, number)| number));
        self.idle -= self.free.len() - before;
        self.prune_at = 2 * self.idle;
    }

    /// Who owns `view`.
    #[must_use]
    pub fn of(&self, view: &InstanceView) -> Option<&Label> {
        view.owner.map(|number| &self.owners[index(number)].name)
    }
}

fn index(OwnerNumber(number): OwnerNumber) -> usize {
    number.get() as usize - 1
}

/// Idle names that are not worth a look through all.
const SPARE: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str) -> Label {
        Label::new(name).unwrap()
    }

    #[test]
    fn a_name_keeps_its_number_while_it_owns() {
        let mut owners = Owners::default();
        let [web, shop] = ["web", "shop"].map(label);
        let numbers = [owners.number(&web), owners.number(&shop), owners.number(&web)];
        owners.change(None, Some(numbers[0]));

        owners.prune(&HashSet::new());

        assert_eq!(numbers[0], numbers[2]);
        assert_ne!(numbers[0], numbers[1]);
        assert_eq!((owners.number(&web), owners.instances(&web)), (numbers[0], 1));
        assert_eq!(owners.number(&label("new")), numbers[1], "a number is used again");
        assert_eq!((owners.instances(&shop), owners.owners.len()), (0, 2));
    }

    #[test]
    fn names_that_come_and_go_leave_nothing() {
        let mut owners = Owners::default();
        let stays = owners.number(&label("stays"));
        owners.change(None, Some(stays));
        let lapsed = owners.number(&label("lapsed"));

        for i in 0..100_000 {
            let number = owners.number(&label(&format!("name-{i}")));
            owners.change(None, Some(number));
            owners.change(Some(number), None);
            if owners.worth_pruning() {
                owners.prune(&HashSet::from([lapsed]));
            }
        }

        assert!(owners.owners.len() <= SPARE + 2, "{}", owners.owners.len());
        assert_eq!(owners.number(&label("stays")), stays);
        assert_eq!(owners.number(&label("lapsed")), lapsed);
        assert_eq!(owners.numbers.len() + owners.free.len(), owners.owners.len());
    }

    #[test]
    fn an_owner_takes_nothing_of_the_memory() {
        // Two flags leave six bytes of a word.
        assert_eq!(size_of::<Option<OwnerNumber>>(), 4);
        assert_eq!(size_of::<InstanceView>(), 6 * size_of::<usize>());
    }
}
