// SPDX-License-Identifier: GPL-2.0

//! The interface between a conversation and what it is about: the files, and the socket.

use super::{
    request::Request,
    response::Reply,
    status::Status, //
};
use core::time::Duration;

/// Where responses go. It takes what there is room for.
pub trait Sink {
    /// How many more bytes it takes now.
    fn room(&self) -> usize;
    /// Takes `data`, for which there is room.
    fn write(&mut self, data: &[u8]);
    /// Notes that we go on when there is room again.
    fn wait_for_room(&mut self);
}

/// The content of a response.
pub trait Content<S> {
    /// Puts the next bytes into `sink`; says whether these were the last. If not, it has
    /// [waited for room](Sink::wait_for_room).
    ///
    /// An error is one that the client must not take for the end.
    fn send(&mut self, sink: &mut S) -> Result<bool, Broken>;
}

/// The content of a response is not to be had to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// What there is to be had.
pub trait Site {
    /// The content of a response.
    type Content;

    /// The date, in seconds since 1970: for what is shown, and for what is compared with dates. It
    /// can be set.
    fn now(&self) -> i64;

    /// How long the site has been there, by a clock that cannot be set: for time that passes.
    fn uptime(&self) -> Duration;

    /// Answers a [plain](Request::is_plain) request behind [`Start`](super::response::Start): the rest
    /// of the head, the empty line and the content. Nothing if that is not at hand, or not as of `now`.
    fn ready(&self, _request: &Request<'_>, _now: i64) -> Option<Self::Content> {
        None
    }

    /// The reply to a request; nothing if it is to be [asked for
    /// elsewhere](super::conversation::Step::Elsewhere).
    fn reply(&self, request: &Request<'_>) -> Option<Reply<Self::Content>>;

    /// Whether a content can be sent here, or only [elsewhere](super::conversation::Step::Elsewhere).
    fn can_send(&self, _content: &Self::Content) -> bool {
        true
    }

    /// A response is under way.
    fn note(&self, _status: Status) {}
}
