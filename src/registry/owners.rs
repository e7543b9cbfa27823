//! Who owns instances: names as numbers, since an instance has four bytes for it and no more.
//!
//! As many as tokens had different names, which an admin makes; only the state numbers them.

use std::collections::HashMap;
use std::num::NonZeroU32;

use crate::model::Label;
use crate::registry::instance::InstanceView;

/// The number of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerNumber(NonZeroU32);

/// Names that own, or owned, an instance.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    numbers: HashMap<Label, OwnerNumber>,
    names: Vec<Label>,
}

impl Owners {
    /// The number of `name`, which it keeps.
    pub(crate) fn number(&mut self, name: &Label) -> OwnerNumber {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.names.push(name.clone());
        let number = u32::try_from(self.names.len()).ok().and_then(NonZeroU32::new);
        let number = OwnerNumber(
            number.expect("one name at least, and nobody makes tokens of four billion"),
        );
        self.numbers.insert(name.clone(), number);
        number
    }

    /// Who owns `view`.
    #[must_use]
    pub fn of(&self, view: &InstanceView) -> Option<&Label> {
        view.owner.map(|number| self.name(number))
    }

    fn name(&self, number: OwnerNumber) -> &Label {
        &self.names[number.0.get() as usize - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let mut owners = Owners::default();
        let [web, shop] = ["web", "shop"].map(|name| Label::new(name).unwrap());

        let numbers = [owners.number(&web), owners.number(&shop), owners.number(&web)];

        assert_eq!(numbers[0], numbers[2]);
        assert_ne!(numbers[0], numbers[1]);
        assert_eq!(numbers.map(|number| owners.name(number)), [&web, &shop, &web]);
    }

    #[test]
    fn an_owner_takes_nothing_of_the_memory() {
        // Two flags leave six bytes of a word.
        assert_eq!(size_of::<Option<OwnerNumber>>(), 4);
        assert_eq!(size_of::<InstanceView>(), 6 * size_of::<usize>());
    }
}
