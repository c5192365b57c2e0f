// SPDX-License-Identifier: GPL-2.0

//! A table with stable indices.

use core::mem;
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

enum Slot<T> {
    Taken(T),
    /// Index of the next free slot.
    Free(Option<usize>),
}

/// A table in which entries are found, added and removed by number in constant time.
///
/// The numbers of removed entries are reused, most recent first.
pub(crate) struct Slab<T> {
    slots: KVVec<Slot<T>>,
    free: Option<usize>,
    len: usize,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: KVVec::new(),
            free: None,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds the entry that `make` returns for its number. May sleep.
    ///
    /// If memory is short or `make` fails, the table is unchanged.
    pub(crate) fn add<E: From<AllocError>>(
        &mut self,
        make: impl FnOnce(usize) -> Result<T, E>,
    ) -> Result<(), E> {
        let number = match self.free {
            Some(number) => number,
            None => {
                self.slots.push(Slot::Free(None), GFP_KERNEL)?;
                let number = self.slots.len() - 1;
                self.free = Some(number);
                number
            }
        };
        let entry = make(number)?;
        if let Some(slot) = self.slots.get_mut(number) {
            if let Slot::Free(next) = mem::replace(slot, Slot::Taken(entry)) {
                self.free = next;
                self.len += 1;
            }
        }
        Ok(())
    }

    /// Removes and returns the entry with this number; `None` if there is no such entry.
    pub(crate) fn remove(&mut self, number: usize) -> Option<T> {
        let slot = self.slots.get_mut(number)?;
        match mem::replace(slot, Slot::Free(self.free)) {
            Slot::Taken(entry) => {
                self.free = Some(number);
                self.len -= 1;
                Some(entry)
            }
            free => {
                *slot = free;
                None
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken(entry) => Some(entry),
            Slot::Free(_) => None,
        })
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_slab)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_used_again() -> Result {
        let mut slots = Slab::new();
        for letter in ['a', 'b', 'c'] {
            slots.add(|_| Ok::<_, Error>(letter))?;
        }
        assert_eq!(slots.remove(1), Some('b'));
        assert_eq!(slots.remove(1), None);
        assert_eq!(slots.remove(0), Some('a'));
        assert_eq!(slots.remove(7), None);

        let mut numbers = [usize::MAX; 3];
        for number in &mut numbers {
            slots.add(|free| {
                *number = free;
                Ok::<_, Error>('d')
            })?;
        }
        assert_eq!(numbers, [0, 1, 3]);
        assert!(slots.iter().eq(&['d', 'd', 'c', 'd']));
        assert!(!slots.is_empty());
        Ok(())
    }

    #[test]
    fn an_entry_that_cannot_be_made_is_not_there() -> Result {
        let mut slots = Slab::<u8>::new();
        assert_eq!(slots.add(|_| Err(ENOMEM)), Err(ENOMEM));
        assert!(slots.is_empty());
        assert_eq!(slots.iter().count(), 0);
        slots.add(|number| {
            assert_eq!(number, 0);
            Ok::<_, Error>(1)
        })?;
        assert_eq!(slots.remove(0), Some(1));
        assert!(slots.is_empty());
        Ok(())
    }
}
