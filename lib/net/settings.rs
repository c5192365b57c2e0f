// SPDX-License-Identifier: GPL-2.0

//! Socket options that are a number or a name: their ranges, and how the kernel is given them.

use super::{
    socket::Socket,
    socket_option::{
        CongestionControl,
        SocketOption, //
    }, //
};
use crate::shim::layout::{
    IPV6_FREEBIND,
    IPV6_MINHOPCOUNT,
    IPV6_TCLASS,
    IPV6_TRANSPARENT,
    IP_FREEBIND,
    IP_MINTTL,
    IP_TOS,
    IP_TRANSPARENT,
    SO_INCOMING_CPU,
    SO_MARK,
    SO_MAX_PACING_RATE,
    SO_PRIORITY,
    TCP_CONGESTION,
    TCP_DEFER_ACCEPT,
    TCP_FASTOPEN,
    TCP_MAXSEG,
    TCP_NOTSENT_LOWAT, //
};
use core::fmt::{
    Debug,
    Display,
    Formatter,
    Result as Written, //
};
use kernel::{
    bindings::{
        SOL_IP,
        SOL_IPV6,
        SOL_SOCKET,
        SOL_TCP, //
    },
    prelude::*, //
};

/// Number of options that are set by their numbers, at most.
const OTHERS: usize = 8;

/// The reason why a socket is not made as its options say.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// A setting is out of its range.
    OutOfRange {
        setting: &'static str,
        value: i64,
        least: i64,
        most: i64,
    },
    /// The kernel does not take the value of a setting.
    BySetting {
        setting: &'static str,
        value: Value,
        error: Error,
    },
    /// Something else has failed.
    Failed(Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::OutOfRange { .. } => EINVAL,
            Refusal::BySetting { error, .. } | Refusal::Failed(error) => error,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A value as an operator writes it.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    Number(i64),
    Name([u8; 16]),
    Option(SocketOption),
}

impl Value {
    /// The value of a name that is shorter than the field for it.
    pub(super) fn name(name: &[u8]) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(name) {
            *to = *from;
        }
        Self::Name(bytes)
    }
}

/// As [`Display`].
impl Debug for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        Display::fmt(self, f)
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(bytes) => {
                let len = bytes.iter().position(|&byte| byte == 0);
                f.write_str(
                    core::str::from_utf8(&bytes[..len.unwrap_or(bytes.len())]).unwrap_or("?"),
                )
            }
            Self::Option(option) => write!(f, "{option}"),
        }
    }
}

/// Checks that a number is within its range.
pub(super) fn check(
    setting: &'static str,
    value: i64,
    least: i64,
    most: i64,
) -> Result<(), Refusal> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Refusal::OutOfRange {
        setting,
        value,
        least,
        most,
    })
}

/// The way in which C takes a number.
#[derive(Clone, Copy)]
enum Form {
    Int,
    /// Shifted to the left by that many bits.
    Shifted(u32),
    /// 64 bits.
    Long,
}

/// A setting that is a number.
struct Number {
    setting: &'static str,
    value: Option<i64>,
    least: i64,
    most: i64,
    form: Form,
    /// Level and name of the option.
    option: (u32, u32),
    /// What is to be set of a socket for IPv6 beside that.
    of_v6: Option<u32>,
}

impl Number {
    fn apply(&self, socket: &Socket, is_v6: bool) -> Result {
        let Some(value) = self.value else {
            return Ok(());
        };
        let (level, name) = self.option;
        let set = |level, name| match self.form {
            // CAST: C takes these 32 bits as a signed or an unsigned number, as it likes.
            Form::Int => socket.set_int(level, name, value as c_int),
            Form::Shifted(bits) => socket.set_int(level, name, (value << bits) as c_int),
            Form::Long => socket.set_bytes(level, name, &value.to_ne_bytes()),
        };
        set(level, name)?;
        match self.of_v6.filter(|_| is_v6) {
            Some(name) => set(SOL_IPV6, name),
            None => Ok(()),
        }
    }
}

/// The settings of a socket that the library itself has no use for.
#[derive(Clone, Copy, Default)]
pub(super) struct Settings {
    pub(super) freebind: bool,
    pub(super) transparent: bool,
    pub(super) mark: Option<u32>,
    pub(super) dscp: Option<u8>,
    pub(super) priority: Option<u32>,
    pub(super) congestion_control: Option<CongestionControl>,
    pub(super) notsent_lowat: Option<u32>,
    pub(super) max_segment: Option<u16>,
    pub(super) min_ttl: Option<u8>,
    pub(super) max_pacing_rate: Option<u64>,
    /// Of listeners only, as the two that follow.
    pub(super) fast_open: Option<u32>,
    pub(super) defer_accept: Option<u32>,
    pub(super) incoming_cpu: Option<u32>,
    others: [Option<SocketOption>; OTHERS],
    others_given: usize,
}

impl Settings {
    pub(super) fn add(&mut self, option: SocketOption) {
        if let Some(place) = self.others.get_mut(self.others_given) {
            *place = Some(option);
        }
        // More than there is room for are found when they are checked.
        self.others_given += 1;
    }

    /// In the order in which they are set: a DSCP sets a priority, too.
    fn numbers(&self) -> [Number; 12] {
        const INT: i64 = i32::MAX as i64;
        const WORD: i64 = u32::MAX as i64;

        let number = |setting, value, (least, most), option| Number {
            setting,
            value,
            least,
            most,
            form: Form::Int,
            option,
            of_v6: None,
        };
        let ip = |setting, value, range, name, v6| Number {
            of_v6: Some(v6),
            ..number(setting, value, range, (SOL_IP, name))
        };
        let socket = |setting, value: Option<u32>, range, name| {
            number(setting, value.map(i64::from), range, (SOL_SOCKET, name))
        };
        let tcp = |setting, value: Option<u32>, range, name| {
            number(setting, value.map(i64::from), range, (SOL_TCP, name))
        };
        let (freebind, transparent) = (
            self.freebind.then_some(1),
            self.transparent.then_some(1), //
        );
        let rate = self
            .max_pacing_rate
            .map(|rate| i64::try_from(rate).unwrap_or(i64::MAX));
        [
            ip("freebind", freebind, (0, 1), IP_FREEBIND, IPV6_FREEBIND),
            ip(
                "transparent",
                transparent,
                (0, 1),
                IP_TRANSPARENT,
                IPV6_TRANSPARENT,
            ),
            socket("mark", self.mark, (0, WORD), SO_MARK),
            Number {
                form: Form::Shifted(2),
                ..ip(
                    "dscp",
                    self.dscp.map(i64::from),
                    (0, 63),
                    IP_TOS,
                    IPV6_TCLASS,
                )
            },
            socket("priority", self.priority, (0, WORD), SO_PRIORITY),
            tcp(
                "notsent_lowat",
                self.notsent_lowat,
                (1, INT),
                TCP_NOTSENT_LOWAT,
            ),
            tcp(
                "max_segment",
                self.max_segment.map(u32::from),
                (88, 32767),
                TCP_MAXSEG,
            ),
            ip(
                "min_ttl",
                self.min_ttl.map(i64::from),
                (1, 255),
                IP_MINTTL,
                IPV6_MINHOPCOUNT,
            ),
            Number {
                form: Form::Long,
                ..number(
                    "max_pacing_rate",
                    rate,
                    (1, i64::MAX - 1),
                    (SOL_SOCKET, SO_MAX_PACING_RATE),
                )
            },
            tcp("fast_open", self.fast_open, (1, INT), TCP_FASTOPEN),
            tcp(
                "defer_accept",
                self.defer_accept,
                (1, 32767),
                TCP_DEFER_ACCEPT,
            ),
            socket("incoming_cpu", self.incoming_cpu, (0, INT), SO_INCOMING_CPU),
        ]
    }

    /// Names the first setting that cannot be.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        for number in self.numbers() {
            if let Some(value) = number.value {
                check(number.setting, value, number.least, number.most)?;
            }
        }
        check(
            "the number of socket options",
            self.others_given as i64,
            0,
            OTHERS as i64,
        )
    }

    pub(super) fn apply(&self, socket: &Socket, is_v6: bool) -> Result<(), Refusal> {
        for number in self.numbers() {
            number
                .apply(socket, is_v6)
                .map_err(|error| Refusal::BySetting {
                    setting: number.setting,
                    value: Value::Number(number.value.unwrap_or(0)),
                    error,
                })?;
        }
        if let Some(name) = &self.congestion_control {
            socket
                .set_bytes(SOL_TCP, TCP_CONGESTION, name.as_bytes())
                .map_err(|error| Refusal::BySetting {
                    setting: "congestion_control",
                    value: Value::name(name.as_bytes()),
                    error,
                })?;
        }
        for option in self.others.iter().flatten() {
            option.apply(socket).map_err(|error| Refusal::BySetting {
                setting: "socket_option",
                value: Value::Option(*option),
                error,
            })?;
        }
        Ok(())
    }

    /// Writes a line for each setting that was set.
    pub(super) fn show(&self, f: &mut Formatter<'_>) -> Written {
        for number in self.numbers() {
            if let Some(value) = number.value {
                writeln!(f, "{:<24} {value}", number.setting)?;
            }
        }
        if let Some(name) = &self.congestion_control {
            let name = Value::name(name.as_bytes());
            writeln!(f, "{:<24} {name}", "congestion_control")?;
        }
        for option in self.others.iter().flatten() {
            writeln!(f, "{:<24} {option}", "socket_option")?;
        }
        Ok(())
    }
}
