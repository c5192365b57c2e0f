// SPDX-License-Identifier: GPL-2.0

//! Numbers of bytes that a call of C moves.

use kernel::{
    bindings,
    prelude::*, //
};

/// The most bytes that one call moves: C counts them in an `int`.
const MOST: usize = c_int::MAX as usize;

/// Returns what C is asked to move: the `len` bytes at `start`, or as many of them as it can count. A slice
/// may be longer, for vmalloc() has room for that; TCP's count would overflow.
#[inline]
pub(super) fn countable(start: *const u8, len: usize) -> bindings::kvec {
    bindings::kvec {
        iov_base: start.cast_mut().cast(),
        iov_len: len.min(MOST),
    }
}

/// A length that C returned, or the error it stands for.
#[inline]
pub(super) fn length(returned: c_int) -> Result<usize> {
    usize::try_from(returned).map_err(|_| Error::from_errno(returned))
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_count)]
mod tests {
    use super::*;
    use core::ptr::NonNull;

    #[test]
    fn no_call_is_asked_for_more_than_c_can_count() {
        // Nothing is read there.
        let start = NonNull::<u8>::dangling().as_ptr();
        for (len, asked) in [
            (0, 0),
            (1, 1),
            (0x7fff_fffe, 0x7fff_fffe),
            (0x7fff_ffff, 0x7fff_ffff),
            (0x8000_0000, 0x7fff_ffff),
            (0x8000_0001, 0x7fff_ffff),
            (0x1_0000_0000, 0x7fff_ffff),
            (usize::MAX, 0x7fff_ffff),
        ] {
            let vector = countable(start, len);
            assert_eq!(vector.iov_len, asked);
            assert_eq!(vector.iov_base, start.cast());
            // What C returns when it has moved all of it is no error.
            assert_eq!(length(vector.iov_len as c_int), Ok(asked));
        }
    }

    #[test]
    fn what_is_below_zero_is_an_error() {
        assert_eq!(length(0), Ok(0));
        assert_eq!(length(-11), Err(EAGAIN));
    }
}
