// SPDX-License-Identifier: GPL-2.0

//! Pages of a socket that is not plain TCP.

use kernel::prelude::*;

#[kunit_tests(ktcp_pages)]
mod tests {
    use super::*;

    extern "C" {
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
}
