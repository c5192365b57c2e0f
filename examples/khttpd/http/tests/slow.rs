// SPDX-License-Identifier: GPL-2.0

//! Clients that take their time, and those that go on after the last reply.

use super::{site, with};
use crate::{
    check::{responses, OneFile, Out, Slice, LIMITS},
    conversation::{Conversation, Step},
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Lets a second pass; meanwhile, the clock that tells dates is set forward or back.
fn let_a_second_pass(site: &OneFile) {
    let passed = site.uptime.get() + SECOND;
    site.uptime.set(passed);
    let set = if passed.as_secs() % 2 == 0 {
        3600
    } else {
        -3600
    };
    site.now.set(site.now.get() + 2 * set);
}

#[test]
fn slow_clients_are_told() {
    let site = site();
    let out = || Out {
        bytes: Vec::new(),
        room: 10_000,
        waits: false,
    };
    let code = |out: &Out| responses(&out.bytes);

    // In a head, and between requests
    let content = with("Content-Length: 5") + "12345";
    let answered = |behind: &str| format!("{content}{behind}");
    for (input, told) in [
        ("GET ".to_owned(), true),
        (String::new(), false),
        // A line end behind a content is not the beginning of a request,
        ("\r\n".to_owned(), false),
        ("\r\n\r\n\r".to_owned(), false),
        (answered("\r\n"), false),
        (answered("\r"), false),
        (answered("\r\n\r\n"), false),
        // and one may follow.
        (answered("\r\nG"), true),
    ] {
        let (mut conversation, mut out) = (Conversation::<Slice>::default(), out());
        let input = input.as_bytes();
        let (consumed, step) = conversation.advance(&site, &LIMITS, input, &mut out);
        assert_eq!(step, Step::Wait);
        out.bytes.clear();
        let input = &input[consumed..];
        conversation.time_out(&site, input, &mut out);
        assert_eq!(
            code(&out).first().map(|response| response.0),
            told.then_some(408)
        );
        assert_eq!(
            conversation.advance(&site, &LIMITS, input, &mut out).1,
            Step::Close
        );
    }

    // One byte of content now and then
    let (mut conversation, mut out) = (Conversation::<Slice>::default(), out());
    let head = with("Content-Length: 50");
    conversation.advance(&site, &LIMITS, head.as_bytes(), &mut out);
    for _ in 1..=LIMITS.time.as_secs() {
        let_a_second_pass(&site);
        assert_eq!(
            conversation.advance(&site, &LIMITS, b"x", &mut out),
            (1, Step::Wait)
        );
    }
    let_a_second_pass(&site);
    assert_eq!(
        conversation.advance(&site, &LIMITS, b"x", &mut out).1,
        Step::Close
    );
    assert_eq!(code(&out)[0].0, 408);
}

#[test]
fn an_upload_goes_on_after_its_refusal() {
    let refused = || {
        let site = site();
        let mut conversation = Conversation::<Slice>::default();
        let mut out = Out {
            bytes: Vec::new(),
            room: 10_000,
            waits: false,
        };
        let head = with("Content-Length: 101") + "content";
        assert_eq!(
            conversation.advance(&site, &LIMITS, head.as_bytes(), &mut out),
            (head.len(), Step::HalfClose)
        );
        assert_eq!(responses(&out.bytes)[0].0, 413);
        (site, conversation, out)
    };
    let content = [b'x'; 1 << 16];

    // For some time
    let (site, mut conversation, mut out) = refused();
    let told = out.bytes.len();
    for _ in 1..=LIMITS.time.as_secs() {
        let_a_second_pass(&site);
        assert_eq!(
            conversation.advance(&site, &LIMITS, &content, &mut out),
            (content.len(), Step::Wait)
        );
    }
    let_a_second_pass(&site);
    let (_, step) = conversation.advance(&site, &LIMITS, &content, &mut out);
    assert_eq!((step, out.bytes.len()), (Step::Close, told));

    // And for some bytes
    let (site, mut conversation, mut out) = refused();
    let mut taken = 0;
    while conversation.advance(&site, &LIMITS, &content, &mut out).1 == Step::Wait {
        taken += content.len();
    }
    assert!((32 << 20..=64 << 20).contains(&taken));
}
