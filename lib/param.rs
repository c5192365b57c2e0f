// SPDX-License-Identifier: GPL-2.0

//! Module parameters of any type: what [`module!`](kernel::prelude::module) has no words for.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

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

/// A type of a [parameter](crate::parameters).
///
/// Integers, `bool`, the addresses of [`core::net`], [`Executor`](crate::Executor),
/// [`BufferSize`](crate::BufferSize) and [`Text`] can; it is implemented here for what else an
/// operator is to choose. It is `Copy` because a parameter is never dropped.
///
/// All methods are called in any context, and may not sleep: what is built into the kernel gets its
/// parameters before there is memory to allocate.
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
    /// The type as `modinfo` shows it.
    const KIND: &'static str;

    /// The value that the operator means, if there is one.
    ///
    /// Called before `init` of the module. The parameters can be read already, here and by what is
    /// started here: each is as far as it was set by then.
    fn parse(text: &str) -> Option<Self>;

    /// Returns what the name of the parameter means without a value, as in `insmod foo.ko verbose`; nothing
    /// unless it is a `bool`.
    fn parse_nothing() -> Option<Self> {
        None
    }

    /// Writes the value as the operator would.
    fn show(&self, f: &mut Formatter<'_>) -> Written;

    /// Writes what is accepted, for a sentence that begins with "must be".
    fn accepts(f: &mut Formatter<'_>) -> Written;
}

/// Defines the parameters of a module, and a type that holds what the operator has set.
///
/// To be used instead of `params` in `module!`. A parameter has a description, a name, a
/// type which is a [`Parameter`], a range in brackets if it is an integer that has one, and a
/// default. The function `read` of the type gives the values.
///
/// An operator sees the description and the type in `modinfo`, gives values to `insmod` or
/// `modprobe` (for what is built into the kernel: as `name.parameter=value` to the boot loader),
/// and finds those in use in `/sys/module/<name>/parameters/`, read-only.
///
/// A value that is refused leaves one line in the log, which names the parameter, the value and what
/// is accepted; `read` then says `EINVAL`, with which the module is to refuse to load. Integers can
/// be given as hexadecimal with `0x` or octal with `0`, as everywhere in the kernel.
///
/// # Examples
///
/// ```
/// use core::net::{IpAddr, Ipv4Addr};
/// use kernel::prelude::*;
/// use ktcp_server::{Executor, Text};
///
/// ktcp_server::parameters! {
///     /// What the operator can set.
///     struct Parameters {
///         /// Address to listen on
///         addr: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST),
///         /// Who runs the connections
///         executor: Executor = Executor::EventLoop,
///         /// How many times each line is said
///         times: u8 [1..=10] = 2,
///         /// What is said first
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
                /// Returns what the operator has set; `EINVAL` if some of it was refused, which a line in
                /// the log has told. Any context but a non-maskable interrupt.
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

                    // Where it is not a module of its own, its name tells whose parameter it is.
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

/// The bounds of a parameter that is an integer.
#[doc(hidden)]
pub struct Range<T: 'static> {
    pub least: T,
    pub most: T,
    /// The comparison, which a generic function cannot make for types that have no order.
    pub contains: fn(&T) -> bool,
}

/// The state of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State<T> {
    Untouched,
    Set(T),
    Refused,
}

/// A parameter of a module, and where its value is kept.
///
/// # Invariants
///
/// `state` holds a valid `State<T>`, and only [`load`](Self::load) and [`store`](Self::store) access it:
/// they copy it as a whole, under a lock of the library.
///
/// The lock is needed although the kernel sets parameters before it calls `init` of the module (none can
/// be written in sysfs): [`Parameter::parse`] is code of the module as well. It may read the parameters,
/// or start a thread that reads them while the kernel sets the next one.
#[doc(hidden)]
pub struct Storage<T: 'static> {
    owner: &'static [u8],
    name: &'static str,
    default: T,
    /// One or none.
    range: &'static [Range<T>],
    state: UnsafeCell<State<T>>,
}

// SAFETY: By the type invariants, no two threads access `state` at once. What they get are copies of a
// `T` that another thread has made: as a `T` is `Sync`, the other thread could as well have lent it to
// them, for them to copy.
unsafe impl<T: Copy + Sync> Sync for Storage<T> {}

impl<T: Parameter> Storage<T> {
    const OPS: &'static bindings::kernel_param_ops = &bindings::kernel_param_ops {
        // `set` takes a parameter without a value.
        flags: bindings::KERNEL_PARAM_OPS_FL_NOARG,
        set: Some(Self::set),
        get: Some(Self::get),
        free: None,
    };

    /// A parameter of the module whose name, with a NUL behind it, is `owner`.
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
            // INVARIANT: This is valid, and nothing refers to it yet.
            state: UnsafeCell::new(State::Untouched),
        }
    }

    /// Returns a copy of the state. Any context but a non-maskable interrupt.
    fn load(&self) -> State<T> {
        let mut copy = MaybeUninit::<State<T>>::uninit();
        // SAFETY: The copy and, by the type invariants, the state are valid for so many bytes. All other
        // accesses to the state are calls of this function, too, which lets one copy at a time.
        unsafe {
            shim::ktcp_param_copy(
                copy.as_mut_ptr().cast(),
                self.state.get().cast_const().cast(),
                size_of::<State<T>>(),
            )
        };
        // SAFETY: By the type invariants the state is valid. Its bytes are a value of their own, for
        // `State<T>` is `Copy`.
        unsafe { copy.assume_init() }
    }

    /// Replaces the state. Context as above.
    fn store(&self, state: State<T>) {
        // SAFETY: Both are valid for so many bytes. All other accesses to the place are calls of this
        // function, too, which lets one copy at a time.
        // INVARIANT: What is stored is a valid `State<T>`.
        unsafe {
            shim::ktcp_param_copy(
                self.state.get().cast(),
                (&raw const state).cast(),
                size_of::<State<T>>(),
            )
        };
    }

    /// The value, unless one was refused. Any context but a non-maskable interrupt.
    pub fn read(&self) -> Result<T> {
        match self.load() {
            State::Untouched => Ok(self.default),
            State::Set(value) => Ok(value),
            State::Refused => Err(EINVAL),
        }
    }

    /// The value that the operator means by `given`, or by nothing but the name.
    fn parse(&self, given: Option<&[u8]>) -> Option<T> {
        let value = match given {
            Some(text) => T::parse(core::str::from_utf8(text).ok()?)?,
            None => T::parse_nothing()?,
        };
        let is_within = self.range.iter().all(|range| (range.contains)(&value));
        is_within.then_some(value)
    }

    /// Returns the state of a parameter that is given another time.
    fn next(&self, before: State<T>, given: Option<&[u8]>) -> State<T> {
        match (before, self.parse(given)) {
            // The module does not load anyway.
            (State::Refused, Some(_)) => State::Refused,
            (_, Some(value)) => State::Set(value),
            (_, None) => {
                // Enough to recognise it.
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

    /// Takes a value from the command line.
    ///
    /// It does not say that a value is refused: the kernel would have a line of its own about it, and
    /// go on nevertheless with what is built in. [`read`](Self::read) says it.
    ///
    /// # Safety
    ///
    /// As for `kernel_param_ops.set`: `value` is null or a string of C, and `raw` a parameter whose
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
        // Without the lock, for this calls `parse`. No other value is stored meanwhile: the kernel sets the
        // parameters of a module one after the other.
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
        // SAFETY: A page is more than `Line::SIZE` bytes.
        let mut line = unsafe { Line::new(buffer.cast()) };
        // What was refused is not in use, nor is the module.
        let value = storage.read().unwrap_or(storage.default);
        // A value that is too long is cut.
        let _ = writeln!(line, "{:?}", Value(value));
        // CAST: Less than a page.
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
