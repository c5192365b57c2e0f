// SPDX-License-Identifier: GPL-2.0

//! Module parameters of any type, for which [`module!`](kernel::prelude::module) has no syntax.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

mod listen;
mod raw;
#[cfg(CONFIG_KTCP_KUNIT_TEST)]
mod tests;
mod values;

use self::raw::Line;
#[doc(hidden)]
pub use self::raw::{
    joined,
    length,
    terminated,
    unterminated,
    RawParameter, //
};
pub use self::values::Text;
use crate::shim;
use core::{
    cell::UnsafeCell,
    fmt::{
        Debug,
        Formatter,
        Result as Written,
        Write, //
    },
    mem::MaybeUninit, //
};
use kernel::{
    bindings,
    prelude::*,
    str::BStr, //
};

/// A type that a [parameter](crate::parameters) can have.
///
/// The library implements it for integers, `bool`, the addresses of [`core::net`],
/// [`Executor`](crate::Executor), [`BufferSize`](crate::BufferSize) and [`Text`]; a module
/// implements it for types of its own. It is `Copy` because a parameter is never dropped.
///
/// All methods are called in any context and must not sleep: built-in code gets its parameters
/// before memory can be allocated.
///
/// # Examples
///
/// ```
/// use core::fmt;
/// use kernel::prelude::*;
/// use ktcp_server::Parameter;
///
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// enum Mood {
///     Good,
///     Bad,
/// }
///
/// impl Parameter for Mood {
///     const KIND: &'static str = "mood";
///
///     fn parse(text: &str) -> Option<Self> {
///         match text {
///             "good" => Some(Self::Good),
///             "bad" => Some(Self::Bad),
///             _ => None,
///         }
///     }
///
///     fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str(match self {
///             Self::Good => "good",
///             Self::Bad => "bad",
///         })
///     }
///
///     fn accepts(f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("good or bad")
///     }
/// }
///
/// assert_eq!(Mood::parse("good"), Some(Mood::Good));
/// assert_eq!(Mood::parse("so-so"), None);
/// ```
pub trait Parameter: Copy + Sync + 'static {
    /// The name of the type that `modinfo` shows.
    const KIND: &'static str;

    /// Parses the operator's text; `None` refuses it.
    ///
    /// Called before the module's `init`. This method, and threads that it starts, can already read
    /// the parameters: those not set yet have their defaults.
    fn parse(text: &str) -> Option<Self>;

    /// Returns the value of a parameter given by its name alone, as in `insmod foo.ko verbose`.
    /// `None`, as for all library types but `bool`, refuses that.
    fn parse_nothing() -> Option<Self> {
        None
    }

    /// Writes the value in the form that [`parse`](Self::parse) takes.
    fn show(&self, f: &mut Formatter<'_>) -> Written;

    /// Writes the accepted values, as the end of a sentence that begins with "must be".
    fn accepts(f: &mut Formatter<'_>) -> Written;
}

/// Defines the parameters of a module, and a struct that holds their values.
///
/// Use it instead of `params` in `module!`. A parameter has a description, a name, a type that
/// implements [`Parameter`], for an integer optionally a range in brackets, and a default. The
/// struct's function `read` returns the values.
///
/// An operator sees description and type in `modinfo`, passes values to `insmod` or `modprobe` (for
/// built-in code: `name.parameter=value` on the kernel command line), and finds the values in use
/// in `/sys/module/<name>/parameters/`, read-only.
///
/// A refused value is logged in one line with the parameter, the value and the accepted ones;
/// `read` then returns `EINVAL`, with which the module has to refuse to load. Integers can be
/// hexadecimal with `0x` or octal with `0`, as everywhere in the kernel.
///
/// # Listening
///
/// `struct Parameters: Listen` has, beside its own parameters, those that say where and how a server
/// listens: `addr`, `device`, `freebind`, `reuse_port`, `only_v6`, `mptcp`, `keepalive` and
/// `user_timeout_ms`, which are off by default, at the address 127.0.0.1. One of its own has to be `port`, a
/// `u16`; each ends with a comma. The method `builder` makes a [`Builder`](crate::Builder) of them:
///
/// ```
/// use kernel::prelude::*;
///
/// ktcp_server::parameters! {
///     struct Settings: Listen {
///         /// TCP port to listen on
///         port: u16 = 0,
///     }
/// }
///
/// let builder = Settings::read()?.builder(c"talk").max_connections(100);
/// # drop(builder);
/// # Ok::<(), Error>(())
/// ```
///
/// # Examples
///
/// ```
/// use core::net::{IpAddr, Ipv4Addr};
/// use kernel::prelude::*;
/// use ktcp_server::{Executor, Text};
///
/// ktcp_server::parameters! {
///     /// Parameters that the operator can set.
///     struct Parameters {
///         /// Address to greet
///         place: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST),
///         /// Executor that polls the connections
///         executor: Executor = Executor::EventLoop,
///         /// Number of repetitions of each line
///         times: u8 [1..=10] = 2,
///         /// Greeting that the server sends first
///         greeting: Text<32> = Text::new("hello"),
///     }
/// }
///
/// let parameters = Parameters::read()?;
/// assert_eq!(parameters.times, 2);
/// assert_eq!(parameters.greeting.as_str(), "hello");
/// ```
#[expect(
    clippy::crate_in_macro_def,
    reason = "the log prefix is that of the module, as in the `pr_` macros: it is its name"
)]
#[macro_export]
macro_rules! parameters {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $Name:ident: Listen {
            $($own:tt)*
        }
    ) => {
        $crate::__listen_parameters! {
            $(#[$attribute])*
            $visibility struct $Name {
                $($own)*
            }
        }
    };
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $Name:ident {
            $(
                $(#[doc = $doc:literal])+
                $parameter:ident: $Type:ty $([$range:expr])? = $default:expr
            ),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $Name {
            $($(#[doc = $doc])+ $visibility $parameter: $Type,)+
        }

        const _: () = {
            $(
                #[allow(non_upper_case_globals)]
                static $parameter: $crate::param::Storage<$Type> = {
                    const DEFAULT: $Type = $default;
                    $(const _: () = ::core::assert!(
                        *($range).start() <= DEFAULT && DEFAULT <= *($range).end(),
                        "the default of a parameter is out of its range"
                    );)?
                    const RANGE: &[$crate::param::Range<$Type>] = &[
                        $($crate::param::Range {
                            least: *($range).start(),
                            most: *($range).end(),
                            contains: |value| ($range).contains(value),
                        })?
                    ];
                    $crate::param::Storage::new(
                        crate::__LOG_PREFIX,
                        stringify!($parameter),
                        DEFAULT,
                        RANGE,
                    )
                };
            )+

            impl $Name {
                /// Returns the values that the operator has set, or the defaults; `EINVAL` if one
                /// of them was refused, which the log already shows. Any context but a non-maskable
                /// interrupt.
                $visibility fn read() -> ::kernel::error::Result<Self> {
                    Ok(Self {
                        $($parameter: $parameter.read()?,)+
                    })
                }
            }

            $(
                const _: () = {
                    use $crate::param::{
                        joined,
                        length,
                        terminated,
                        RawParameter, //
                    };

                    // Built-in code has no module, so the name of a parameter has the owner as
                    // prefix.
                    const OWNER: &[&[u8]] = if cfg!(MODULE) {
                        &[b"", b""]
                    } else {
                        &[$crate::param::unterminated(crate::__LOG_PREFIX), b"."]
                    };
                    const NAME: &[&[u8]] =
                        &[OWNER[0], OWNER[1], stringify!($parameter).as_bytes(), b"\0"];
                    static NAME_BYTES: [u8; length(NAME)] = joined(NAME);

                    #[cfg(MODULE)]
                    extern "C" {
                        static __this_module: ::kernel::types::Opaque<::kernel::bindings::module>;
                    }
                    #[cfg(MODULE)]
                    const MODULE: *const ::kernel::bindings::module =
                        ::core::ptr::addr_of!(__this_module).cast();
                    #[cfg(not(MODULE))]
                    const MODULE: *const ::kernel::bindings::module = ::core::ptr::null();

                    #[link_section = "__param"]
                    #[used(compiler)]
                    static RAW: RawParameter =
                        RawParameter::new(terminated(&NAME_BYTES), MODULE, &$parameter);

                    const DESCRIPTION: &[&[u8]] = &[
                        OWNER[0],
                        OWNER[1],
                        b"parm=",
                        stringify!($parameter).as_bytes(),
                        b":",
                        concat!($($doc),+).as_bytes().trim_ascii(),
                        b"\0",
                    ];
                    #[link_section = ".modinfo"]
                    #[used(compiler)]
                    static DESCRIPTION_BYTES: [u8; length(DESCRIPTION)] = joined(DESCRIPTION);

                    const KIND: &[&[u8]] = &[
                        OWNER[0],
                        OWNER[1],
                        b"parmtype=",
                        stringify!($parameter).as_bytes(),
                        b":",
                        <$Type as $crate::Parameter>::KIND.as_bytes(),
                        b"\0",
                    ];
                    #[link_section = ".modinfo"]
                    #[used(compiler)]
                    static KIND_BYTES: [u8; length(KIND)] = joined(KIND);
                };
            )+
        };
    };
}

/// The bounds of an integer parameter.
#[doc(hidden)]
pub struct Range<T: 'static> {
    pub least: T,
    pub most: T,
    /// The comparison. A function pointer, because not every type of a parameter has an order.
    pub contains: fn(&T) -> bool,
}

/// The state of a parameter's value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State<T> {
    Untouched,
    Set(T),
    Refused,
}

/// A parameter of a module with its value.
///
/// # Invariants
///
/// `state` holds a valid `State<T>`. Only [`load`](Self::load) and [`store`](Self::store) access
/// it: each copies it as a whole, under a lock of the library.
///
/// The kernel sets parameters before it calls the module's `init`, and none is writable in sysfs.
/// The lock is needed nonetheless, because [`Parameter::parse`] is code of the module: it may read
/// parameters, or start a thread that does so while the kernel sets the next one.
#[doc(hidden)]
pub struct Storage<T: 'static> {
    owner: &'static [u8],
    name: &'static str,
    default: T,
    /// At most one range.
    range: &'static [Range<T>],
    state: UnsafeCell<State<T>>,
}

// SAFETY: By the type invariant no two threads access `state` at once. Other threads get copies of
// a `T`, which is `Copy + Sync`: they could as well copy it through a shared reference.
unsafe impl<T: Copy + Sync> Sync for Storage<T> {}

impl<T: Parameter> Storage<T> {
    const OPS: &'static bindings::kernel_param_ops = &bindings::kernel_param_ops {
        // `set` takes a parameter without a value.
        flags: bindings::KERNEL_PARAM_OPS_FL_NOARG,
        set: Some(Self::set),
        get: Some(Self::get),
        free: None,
    };

    /// Creates a parameter of the module `owner`, a name that ends with a NUL.
    pub const fn new(
        owner: &'static [u8],
        name: &'static str,
        default: T,
        range: &'static [Range<T>],
    ) -> Self {
        Self {
            owner,
            name,
            default,
            range,
            // INVARIANT: The state is valid, and no reference to it exists yet.
            state: UnsafeCell::new(State::Untouched),
        }
    }

    /// Returns a copy of the state. Any context but a non-maskable interrupt.
    fn load(&self) -> State<T> {
        let mut copy = MaybeUninit::<State<T>>::uninit();
        // SAFETY: The copy and, by the type invariant, the state are valid for that many bytes. All
        // other accesses to the state go through this C function, which makes one copy at a time.
        unsafe {
            shim::ktcp_param_copy(
                copy.as_mut_ptr().cast(),
                self.state.get().cast_const().cast(),
                size_of::<State<T>>(),
            )
        };
        // SAFETY: By the type invariant the state is valid. Its bytes are a value of their own,
        // because `State<T>` is `Copy`.
        unsafe { copy.assume_init() }
    }

    /// Replaces the state. Any context but a non-maskable interrupt.
    fn store(&self, state: State<T>) {
        // SAFETY: Both are valid for that many bytes. All other accesses to the state go through
        // this C function, which makes one copy at a time.
        // INVARIANT: `state` is a valid `State<T>`.
        unsafe {
            shim::ktcp_param_copy(
                self.state.get().cast(),
                (&raw const state).cast(),
                size_of::<State<T>>(),
            )
        };
    }

    /// Returns the value; `EINVAL` if one was refused. Any context but a non-maskable interrupt.
    pub fn read(&self) -> Result<T> {
        match self.load() {
            State::Untouched => Ok(self.default),
            State::Set(value) => Ok(value),
            State::Refused => Err(EINVAL),
        }
    }

    /// Parses `given`, or the name alone if it is `None`, and checks the range.
    fn parse(&self, given: Option<&[u8]>) -> Option<T> {
        let value = match given {
            Some(text) => T::parse(core::str::from_utf8(text).ok()?)?,
            None => T::parse_nothing()?,
        };
        let is_within = self.range.iter().all(|range| (range.contains)(&value));
        is_within.then_some(value)
    }

    /// Returns the state after the operator has given the parameter once more.
    fn next(&self, before: State<T>, given: Option<&[u8]>) -> State<T> {
        match (before, self.parse(given)) {
            // A module with a refused value does not load anyway.
            (State::Refused, Some(_)) => State::Refused,
            (_, Some(value)) => State::Set(value),
            (_, None) => {
                // A prefix is enough to recognise the value.
                let given = given.unwrap_or_default();
                let shown = given.get(..64).unwrap_or(given);
                pr_err!(
                    "{}: {} is {:?}, and must be {:?}\n",
                    BStr::from_bytes(unterminated(self.owner)),
                    self.name,
                    BStr::from_bytes(shown),
                    Accepted(self)
                );
                State::Refused
            }
        }
    }

    /// Sets the value from the command line.
    ///
    /// Returns 0 even for a refused value: on an error the kernel would log a line of its own, and
    /// ignore the error in built-in code. [`read`](Self::read) reports it.
    ///
    /// # Safety
    ///
    /// As for `kernel_param_ops.set`: `value` is null or a C string, and `raw` a parameter whose
    /// `arg` is a `Storage<T>`.
    unsafe extern "C" fn set(value: *const c_char, raw: *const bindings::kernel_param) -> c_int {
        // SAFETY: By the safety requirements.
        let storage = unsafe { &*(*raw).__bindgen_anon_1.arg.cast::<Self>() };
        let given = if value.is_null() {
            None
        } else {
            // SAFETY: By the safety requirements.
            Some(unsafe { CStr::from_char_ptr(value) }.to_bytes())
        };
        // The lock is not held, because `next` calls `parse`. No other value is stored meanwhile:
        // the kernel sets the parameters of a module one after the other.
        storage.store(storage.next(storage.load(), given));
        0
    }

    /// Shows the value in sysfs.
    ///
    /// # Safety
    ///
    /// As for `kernel_param_ops.get`: `buffer` has room for a page, and `raw` is as for `set`.
    unsafe extern "C" fn get(buffer: *mut c_char, raw: *const bindings::kernel_param) -> c_int {
        // SAFETY: By the safety requirements.
        let storage = unsafe { &*(*raw).__bindgen_anon_1.arg.cast::<Self>() };
        // SAFETY: `buffer` has room for a page, which is more than `Line::SIZE` bytes, and only
        // this call uses it.
        let mut line = unsafe { Line::new(buffer.cast()) };
        // A refused value is not in use.
        let value = storage.read().unwrap_or(storage.default);
        // A value that is too long is truncated.
        let _ = writeln!(line, "{:?}", Value(value));
        // CAST: The length is less than a page.
        line.length() as c_int
    }
}

/// A value as `{:?}` shows it.
pub(crate) struct Value<T>(pub(crate) T);

impl<T: Parameter> Debug for Value<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        self.0.show(f)
    }
}

/// The values that a parameter accepts, as `{:?}` shows them.
struct Accepted<'a, T: 'static>(&'a Storage<T>);

impl<T: Parameter> Debug for Accepted<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match self.0.range {
            [range, ..] => write!(f, "{:?} to {:?}", Value(range.least), Value(range.most)),
            [] => T::accepts(f),
        }
    }
}
