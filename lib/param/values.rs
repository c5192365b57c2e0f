// SPDX-License-Identifier: GPL-2.0

//! The types that parameters have.

use super::Parameter;
use crate::{
    buffer::BufferSize,
    executor::Executor, //
};
use core::{
    fmt::{
        Debug,
        Formatter,
        Result as Written, //
    },
    net::{
        IpAddr,
        Ipv4Addr,
        Ipv6Addr,
        SocketAddr, //
    }, //
};
use kernel::{
    prelude::*,
    str::{
        parse_int::ParseInt,
        BStr, //
    }, //
};

macro_rules! integers {
    ($($Integer:ident)*) => {
        $(
            impl Parameter for $Integer {
                const KIND: &'static str = stringify!($Integer);

                fn parse(text: &str) -> Option<Self> {
                    <Self as ParseInt>::from_str(BStr::from_bytes(text.as_bytes())).ok()
                }

                fn show(&self, f: &mut Formatter<'_>) -> Written {
                    write!(f, "{self}")
                }

                fn accepts(f: &mut Formatter<'_>) -> Written {
                    write!(f, "{} to {}", Self::MIN, Self::MAX)
                }
            }
        )*
    };
}

integers! { i8 u8 i16 u16 i32 u32 i64 u64 isize usize }

impl Parameter for bool {
    const KIND: &'static str = "bool";

    fn parse(text: &str) -> Option<Self> {
        // The words that the kernel takes; it looks at the first letter or two only.
        match text {
            "y" | "Y" | "1" | "yes" | "on" | "true" => Some(true),
            "n" | "N" | "0" | "no" | "off" | "false" => Some(false),
            _ => None,
        }
    }

    fn parse_nothing() -> Option<Self> {
        Some(true)
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        f.write_str(if *self { "Y" } else { "N" })
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        f.write_str("y or n")
    }
}

macro_rules! addresses {
    ($($Address:ident $kind:literal $accepts:literal;)*) => {
        $(
            impl Parameter for $Address {
                const KIND: &'static str = $kind;

                fn parse(text: &str) -> Option<Self> {
                    text.parse().ok()
                }

                fn show(&self, f: &mut Formatter<'_>) -> Written {
                    write!(f, "{self}")
                }

                fn accepts(f: &mut Formatter<'_>) -> Written {
                    f.write_str($accepts)
                }
            }
        )*
    };
}

addresses! {
    IpAddr "address" "an IPv4 or IPv6 address, as 127.0.0.1 or ::1";
    Ipv4Addr "address" "an IPv4 address, as 127.0.0.1";
    Ipv6Addr "address" "an IPv6 address, as ::1";
    SocketAddr "address and port" "an address and a port, as 127.0.0.1:80 or [::1]:80";
}

impl Parameter for Executor {
    const KIND: &'static str = "executor";

    fn parse(text: &str) -> Option<Self> {
        [Self::EventLoop, Self::Workqueue, Self::Kthread]
            .into_iter()
            .find(|executor| executor.name() == text)
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        f.write_str(self.name())
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        f.write_str("event_loop, workqueue or kthread")
    }
}

impl Parameter for BufferSize {
    const KIND: &'static str = "bytes";

    fn parse(text: &str) -> Option<Self> {
        Self::new(usize::parse(text)?).ok()
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        write!(f, "{}", self.bytes())
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        write!(f, "{} to {}", Self::MIN.bytes(), Self::MAX.bytes())
    }
}

/// A string of at most `CAPACITY` bytes, kept in place: for [parameters](crate::parameters) such as
/// the name of a folder.
///
/// # Invariants
///
/// `length` is at most `CAPACITY`, and so many bytes of `bytes` are UTF-8; the others are 0.
///
/// # Examples
///
/// ```
/// use ktcp_server::Text;
///
/// const ROOT: Text<64> = Text::new("/srv/www"); // checked by the compiler
/// assert_eq!(ROOT.as_str(), "/srv/www");
/// assert!(Text::<4>::try_from("hello").is_err()); // checked at run time
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const CAPACITY: usize> {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl<const CAPACITY: usize> Text<CAPACITY> {
    /// The string. For constants: it panics if it does not fit, which in a constant is an error of the
    /// compiler.
    pub const fn new(text: &str) -> Self {
        match Self::copy_of(text) {
            Some(copy) => copy,
            None => panic!("the text is longer than its type allows"),
        }
    }

    const fn copy_of(text: &str) -> Option<Self> {
        let (from, length) = (text.as_bytes(), text.len());
        if length > CAPACITY {
            return None;
        }
        let mut bytes = [0; CAPACITY];
        let mut index = 0;
        while index < length {
            bytes[index] = from[index];
            index += 1;
        }
        // INVARIANT: It fits, and is UTF-8 as the string was; the rest is as it was made.
        Some(Self { bytes, length })
    }

    /// The string. Any context.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        // By the type invariants it is.
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// `EINVAL` if it does not fit. Any context.
impl<const CAPACITY: usize> TryFrom<&str> for Text<CAPACITY> {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        Self::copy_of(text).ok_or(EINVAL)
    }
}

impl<const CAPACITY: usize> Debug for Text<CAPACITY> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        Debug::fmt(self.as_str(), f)
    }
}

impl<const CAPACITY: usize> Parameter for Text<CAPACITY> {
    const KIND: &'static str = "string";

    fn parse(text: &str) -> Option<Self> {
        Self::copy_of(text)
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        f.write_str(self.as_str())
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        write!(f, "a text of at most {CAPACITY} bytes")
    }
}
