// SPDX-License-Identifier: GPL-2.0

//! A table whose entries keep their number.

use core::mem;
use kernel::prelude::*;

enum Slot<T> {
    Taken(T),
    /// The number of the next free slot.
    Free(Option<usize>),
}

/// Entries that are found, added and removed by number in constant time.
///
/// Numbers of removed entries are used again, the latest first.
pub(crate) struct Slots<T> {
    slots: KVVec<Slot<T>>,
    free: Option<usize>,
    len: usize,
}

impl<T> Slots<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: KVVec::new(),
            free: None,
            len: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds what `make` returns for the number it gets. `ENOMEM`, and the errors of `make`, leave
    /// everything as it was. May sleep.
    pub(crate) fn add(&mut self, make: impl FnOnce(usize) -> Result<T>) -> Result {
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

    /// Removes and returns the entry with this number, if there is one.
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
