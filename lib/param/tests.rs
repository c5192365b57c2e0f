// SPDX-License-Identifier: GPL-2.0

//! Tests of the parsing and showing of parameters. (End-to-end tests cover the kernel's side.)

use super::*;
use crate::{
    buffer::BufferSize,
    executor::Executor,
    net::{
        Device,
        Keepalive,
        ScopedAddr, //
    }, //
};
use core::net::{
    IpAddr,
    Ipv4Addr,
    SocketAddr, //
};
use kernel::{
    impl_has_hr_timer,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeMode, //
        },
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Many equal words, so that a torn copy shows.
#[derive(Clone, Copy)]
struct Words([u64; 128]);

impl Words {
    fn are_torn(&self) -> bool {
        self.0.iter().any(|word| *word != self.0[0])
    }
}

static WORDS: Storage<Words> = Storage::new(b"test\0", "words", Words([0; 128]), &[]);

impl Parameter for Words {
    const KIND: &'static str = "words";

    fn parse(text: &str) -> Option<Self> {
        // Code of a module may read the parameter that it parses.
        WORDS.read().ok()?;
        Some(Self([u64::parse(text)?; 128]))
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        self.0[0].show(f)
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        u64::accepts(f)
    }
}

/// A timer that reads the words in each of its interrupts.
#[pin_data]
struct Reader {
    #[pin]
    timer: HrTimer<Self>,
    read: Atomic<u32>,
    torn: Atomic<u32>,
}

impl Reader {
    const PERIOD: Delta = Delta::from_micros(500);
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Reader {
        mode: RelativeMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Reader {
    type Pointer<'a> = Arc<Self>;

    fn run(
        this: ArcBorrow<'_, Self>,
        mut context: HrTimerCallbackContext<'_, Self>,
    ) -> HrTimerRestart {
        if WORDS.read().map_or(true, |words| words.are_torn()) {
            this.torn.fetch_add(1, Relaxed);
        }
        this.read.fetch_add(1, Relaxed);
        context.forward_now(Self::PERIOD);
        HrTimerRestart::Restart
    }
}

#[kunit_tests(ktcp_param)]
mod cases {
    use super::*;

    fn storage<T: Parameter>(default: T) -> Storage<T> {
        Storage::new(b"test\0", "parameter", default, &[])
    }

    fn parse<T: Parameter>(default: T, text: &str) -> Option<T> {
        storage(default).parse(Some(text.as_bytes()))
    }

    #[test]
    fn an_integer_has_the_range_of_its_type() {
        for (text, value) in [
            ("0", Some(0)),
            ("255", Some(255)),
            ("0xff", Some(255)),
            ("010", Some(8)),
            ("256", None),
            ("-1", None),
            ("", None),
            (" 1", None),
            ("1 ", None),
            ("1,2", None),
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(parse(7u8, text), value);
        }
        assert_eq!(parse(0i64, "-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse(0u64, "18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse(0u64, "18446744073709551616"), None);
    }

    #[test]
    fn a_range_holds_its_bounds() {
        let storage = Storage::new(
            b"test\0",
            "parameter",
            5u32,
            &[Range {
                least: 1,
                most: 10,
                contains: |value| (1..=10).contains(value),
            }],
        );
        for (text, value) in [("0", None), ("1", Some(1)), ("10", Some(10)), ("11", None)] {
            assert_eq!(storage.parse(Some(text.as_bytes())), value);
        }
    }

    #[test]
    fn only_a_bool_means_something_by_its_name_alone() {
        assert_eq!(storage(false).parse(None), Some(true));
        assert_eq!(storage(false).parse(Some(b"")), None);
        assert_eq!(storage(1u8).parse(None), None);
        assert_eq!(parse(false, "Y"), Some(true));
        assert_eq!(parse(true, "off"), Some(false));
        assert_eq!(parse(true, "maybe"), None);
    }

    #[test]
    fn addresses_are_those_of_core() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(parse(local, "::ffff:1.2.3.4").is_some());
        assert!(parse(local, "1.2.3").is_none());
        assert!(parse(Ipv4Addr::LOCALHOST, "::1").is_none());
        let both = SocketAddr::new(local, 80);
        assert_eq!(parse(both, "127.0.0.1:80"), Some(both));
        assert!(parse(both, "127.0.0.1").is_none());
    }

    #[test]
    fn an_address_may_have_a_link() {
        let parse = |text| parse(ScopedAddr::LOCALHOST, text);
        for text in ["127.0.0.1", "::1", "fe80::1", "fe80::1%eth0", "fe80::1%2"] {
            assert!(parse(text).is_some());
        }
        for text in ["", "fe80::1%", "::1%lo", "127.0.0.1%lo", "fe80::1%eth0:80"] {
            assert!(parse(text).is_none());
        }
    }

    #[test]
    fn a_keepalive_is_three_numbers_or_off() {
        let parse = |text| parse(None::<Keepalive>, text);
        assert_eq!(parse("off"), Some(None));
        assert_eq!(parse("60:10:6"), Some(Keepalive::new(60, 10, 6).ok()));
        assert_eq!(
            parse("32767:1:127"),
            Some(Keepalive::new(32767, 1, 127).ok())
        );
        for text in [
            "",
            "on",
            "60",
            "60:10",
            "60:10:6:1",
            "60:10:",
            "0:10:6",
            "60:0:6",
            "60:10:0",
            "32768:1:1",
            "1:32768:1",
            "1:1:128",
            "1:1:256",
            "-1:1:1",
            "60,10,6",
        ] {
            assert_eq!(parse(text), None);
        }
    }

    #[test]
    fn a_choice_may_be_left_to_the_kernel() {
        assert_eq!(parse(Some(true), "auto"), Some(None));
        assert_eq!(parse(None, "y"), Some(Some(true)));
        assert_eq!(parse(None, "0"), Some(Some(false)));
        assert_eq!(parse(None::<bool>, ""), None);
        assert_eq!(parse(None::<bool>, "Auto"), None);
        assert_eq!(storage(None::<bool>).parse(None), Some(Some(true)));
    }

    #[test]
    fn a_device_is_a_name_or_none() {
        let parse = |text| parse(None::<Device>, text);
        assert_eq!(parse(""), Some(None));
        assert_eq!(parse("eth0"), Some(Device::new(c"eth0").ok()));
        for text in ["a/b", "a b", ".", "sixteen-bytes-is", "eth0\0"] {
            assert_eq!(parse(text), None);
        }
        assert_eq!(storage(None::<Device>).parse(None), None);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(storage(7u8).parse(Some(b"\xff\xfe")), None);
        assert!(storage(Text::<8>::new("")).parse(Some(b"\xc3")).is_none());
    }

    #[test]
    fn a_text_has_its_capacity_in_bytes() {
        let parse = |text| parse(Text::<4>::new(""), text).map(|text| text.as_str().len());
        assert_eq!(parse(""), Some(0));
        assert_eq!(parse("abcd"), Some(4));
        assert_eq!(parse("abcde"), None);
        assert_eq!(parse("\u{fc}\u{fc}"), Some(4));
        assert_eq!(parse("a\u{fc}\u{fc}"), None);
    }

    #[test]
    fn the_last_value_counts_and_a_refused_one_for_ever() {
        let storage = storage(7u8);
        let first = storage.next(State::Untouched, Some(b"1"));
        assert!(first == State::Set(1));
        assert!(storage.next(first, Some(b"2")) == State::Set(2));
        let refused = storage.next(first, Some(b"x"));
        assert!(refused == State::Refused);
        assert!(storage.next(refused, Some(b"2")) == State::Refused);
    }

    #[test]
    fn a_reader_never_sees_a_part_of_a_value() -> Result {
        const READS: u32 = 64;
        let raw = RawParameter::new(c"words", core::ptr::null(), &WORDS);
        let reader = Arc::pin_init(
            pin_init!(Reader {
                timer <- HrTimer::new(),
                read: Atomic::new(0),
                torn: Atomic::new(0),
            }),
            GFP_KERNEL,
        )?;
        let begin = Instant::<Monotonic>::now();
        let running = reader.clone().start(Reader::PERIOD);
        while reader.read.load(Relaxed) < READS && begin.elapsed().as_millis() < 20_000 {
            for text in [c"1", c"2"] {
                // SAFETY: `text` is a C string, and `raw` a parameter whose `arg` is a
                // `Storage<Words>`.
                unsafe { Storage::<Words>::set(text.as_char_ptr(), &raw const raw.0) };
            }
        }
        drop(running);
        assert!(reader.read.load(Relaxed) >= READS);
        assert_eq!(reader.torn.load(Relaxed), 0);
        Ok(())
    }

    #[test]
    fn what_is_shown_is_taken_back() -> Result {
        fn again<T: Parameter>(value: T) -> Result<bool> {
            let shown = CString::try_from_fmt(fmt!("{:?}", Value(value)))?;
            let storage = storage(value);
            let back = storage.parse(Some(shown.to_bytes())).ok_or(EINVAL)?;
            Ok(*CString::try_from_fmt(fmt!("{:?}", Value(back)))? == *shown)
        }
        assert!(again(-5i16)?);
        assert!(again(true)? && again(false)?);
        assert!(again(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?);
        for executor in [Executor::EventLoop, Executor::Workqueue, Executor::Kthread] {
            assert!(again(executor)?);
        }
        assert!(again(BufferSize::of::<4096>())?);
        assert!(again(Text::<9>::new("/srv/www"))?);
        assert!(again(None::<bool>)? && again(Some(true))? && again(Some(false))?);
        assert!(again(None::<Device>)? && again(Some(Device::new(c"eth0")?))?);
        assert!(again(None::<Keepalive>)? && again(Some(Keepalive::new(60, 10, 6)?))?);
        for text in ["192.0.2.1", "::1", "fe80::1%eth0", "fe80::1%2"] {
            assert!(again(text.parse::<ScopedAddr>()?)?);
        }
        Ok(())
    }

    #[test]
    fn a_value_that_is_longer_than_a_page_is_cut() -> Result {
        let mut page = KVec::from_elem(b'-', Line::SIZE + 8, GFP_KERNEL)?;
        // SAFETY: The page has more than `Line::SIZE` bytes, and is used by `line` alone until it
        // is read.
        let mut line = unsafe { Line::new(page.as_mut_ptr()) };
        for _ in 0..Line::SIZE / 3 {
            line.write_str("abc").map_err(|_| EINVAL)?;
        }
        assert!(line.write_str("abc").is_err());
        assert_eq!(line.length(), Line::SIZE);
        assert!(page[..Line::SIZE].iter().all(|&byte| byte != b'-'));
        assert!(page[Line::SIZE..].iter().all(|&byte| byte == b'-'));
        Ok(())
    }
}
