// SPDX-License-Identifier: GPL-2.0

//! Implementations of `Parameter`.

use super::Parameter;
use crate::{
    buffer::BufferSize,
    executor::Executor,
    net::{
        Device,
        Keepalive,
        ScopedAddr, //
    }, //
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
        // The words that `kstrtobool()` documents; it looks only at the first letter or two.
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

impl Parameter for ScopedAddr {
    const KIND: &'static str = "address";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        write!(f, "{self}")
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        f.write_str("an IPv4 or IPv6 address, as 127.0.0.1, ::1 or fe80::1%eth0")
    }
}

/// `auto` leaves it to the kernel.
impl Parameter for Option<bool> {
    const KIND: &'static str = "bool";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(None),
            _ => bool::parse(text).map(Some),
        }
    }

    fn parse_nothing() -> Option<Self> {
        Some(Some(true))
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        match self {
            Some(value) => value.show(f),
            None => f.write_str("auto"),
        }
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        f.write_str("y, n or auto")
    }
}

/// The name of a network device, or nothing.
impl Parameter for Option<Device> {
    const KIND: &'static str = "device";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "" => Some(None),
            _ => Device::from_bytes(text.as_bytes()).ok().map(Some),
        }
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        match self {
            Some(device) => write!(f, "{device}"),
            None => Ok(()),
        }
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        f.write_str("the name of a network device, as eth0")
    }
}

/// `60:10:6`: seconds of silence, seconds between probes, and their number; or `off`.
impl Parameter for Option<Keepalive> {
    const KIND: &'static str = "keepalive";

    fn parse(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(None);
        }
        let mut parts = text.split(':');
        let keepalive = Keepalive::new(
            u16::parse(parts.next()?)?,
            u16::parse(parts.next()?)?,
            u8::parse(parts.next()?)?,
        );
        match parts.next() {
            None => keepalive.ok().map(Some),
            Some(_) => None,
        }
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        match self {
            Some(keepalive) => write!(f, "{keepalive}"),
            None => f.write_str("off"),
        }
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        f.write_str("off, or SECONDS:SECONDS:PROBES, as 60:10:6")
    }
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

/// A string of at most `CAPACITY` bytes, stored in place: for [parameters](crate::parameters) such
/// as the name of a directory.
///
/// # Invariants
///
/// `length` is at most `CAPACITY`, the first `length` bytes are UTF-8, and the others are 0.
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
    /// Copies a string. For constants: it panics if the string does not fit, which in a constant is
    /// a compile-time error.
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
        // INVARIANT: The length was checked, the bytes are those of a `str`, and the others are
        // still 0.
        Some(Self { bytes, length })
    }

    /// Returns the string. Any context.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        // By the type invariant the bytes are UTF-8.
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// Fails with `EINVAL` if the string does not fit. Any context.
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
