// SPDX-License-Identifier: GPL-2.0

//! Pages that a server may keep, and pages of others, which it copies.

use kernel::prelude::*;

#[kunit_tests(ktcp_pages)]
mod tests {
    use super::*;
    use crate::support::namespace;

    const PAGE: c_int = kernel::page::PAGE_SIZE as c_int;

    /// `enum ktcp_kunit_given`
    #[derive(Clone, Copy, Debug)]
    enum Given {
        Copied,
        Shared,
        GivenAway,
        OfFile,
        Mapped,
    }

    extern "C" {
        fn ktcp_kunit_pages_of_client(given: c_int, atomic: bool) -> c_int;
        fn ktcp_kunit_pages_of_other_socket(atomic: bool) -> c_int;
    }

    #[test]
    fn only_plain_tcp_is_read_as_tcp() -> Result {
        for atomic in [false, true] {
            // SAFETY: May be called from any task.
            let received = unsafe { ktcp_kunit_pages_of_other_socket(atomic) };
            assert_eq!(received, 0);
        }
        Ok(())
    }

    /// Returns how many bytes of a page are taken without a copy, by a task that may sleep and by
    /// one that may not.
    fn taken(given: Given) -> Result<[c_int; 2]> {
        namespace()?;
        // SAFETY: May be called from any task that may sleep.
        Ok([false, true]
            .map(|atomic| unsafe { ktcp_kunit_pages_of_client(given as c_int, atomic) }))
    }

    #[test]
    fn pages_of_packets_are_taken() -> Result {
        assert_eq!(taken(Given::Copied)?, [PAGE; 2]);
        assert_eq!(taken(Given::GivenAway)?, [PAGE; 2]);
        Ok(())
    }

    #[test]
    fn pages_that_a_client_shares_are_left_to_be_copied() -> Result {
        assert_eq!(taken(Given::Shared)?, [0; 2]);
        Ok(())
    }

    #[test]
    fn pages_of_files_and_processes_are_left_to_be_copied_marked_or_not() -> Result {
        assert_eq!(taken(Given::OfFile)?, [0; 2]);
        assert_eq!(taken(Given::Mapped)?, [0; 2]);
        Ok(())
    }
}
