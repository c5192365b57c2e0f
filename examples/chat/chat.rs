// SPDX-License-Identifier: GPL-2.0

//! A chat for people with `telnet` or `nc`: each line that a member types goes to all the others.
//!
//! It shows what an echo server does not: a session for each connection, messages that are lines, and
//! sending to other connections. A member that does not read delays no other, and costs no more than
//! its buffers: when these are full, the member misses lines, and is told their number later.

mod telnet;

use core::mem;
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::Mutex,
    time::Delta, //
};
use ktcp_server::{
    error::ENOBUFS,
    BufferSize,
    CloseReason,
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer,
    Sender,
    Text, //
};
use telnet::Telnet;

module! {
    type: Chat,
    name: "chat",
    authors: ["The ktcp_server authors"],
    description: "TCP chat inside the kernel",
    license: "GPL",
}

ktcp_server::parameters! {
    /// The parameters of `insmod`.
    struct Parameters: Listen {
        /// TCP port to listen on; 0 lets the kernel choose
        port: u16 = 12348,
        /// People who may be there at once
        max_connections: u32 [1..=100_000] = 1000,
    }
}

/// Bytes of the longest line, without its end and what telnet says in between.
const LONGEST: usize = 1023;
/// Size of the input buffer. Received bytes are looked at one by one, and not kept.
const INPUT: BufferSize = BufferSize::of::<1024>();
/// Size of the output buffer. A member may be behind with twice as much before it misses lines.
const BACKLOG: BufferSize = BufferSize::of::<{ 16 << 10 }>();
/// So many names are listed at most; all of them together fit into the output.
const LISTED: usize = 100;

const HELP: &[u8] = b"* say something, or: /who lists who is there, /quit leaves\n";

const TOO_LONG: &[u8] = b"* a line has at most 1023 bytes\n";

/// The most letters of a name.
const LETTERS: usize = 16;

/// As many letters of UTF-8, which has up to four bytes for one.
type Name = Text<{ 4 * LETTERS }>;

/// A guest with a name, who gets the lines of the others.
struct Member {
    name: Name,
    sender: Sender,
    /// Number of lines that did not fit.
    missed: usize,
}

impl Member {
    /// Queues a line without waiting.
    fn tell(&mut self, line: &[u8]) {
        if self.missed > 0 {
            match CString::try_from_fmt(fmt!("* lines that you have missed: {}\n", self.missed)) {
                Ok(notice) if self.sender.send(notice.to_bytes()).is_ok() => self.missed = 0,
                _ => {}
            }
        }
        // A line must not overtake the notice about missed ones.
        if self.missed > 0 || self.sender.send(line).is_err() {
            self.missed += 1;
        }
    }
}

/// The only room.
struct Room {
    members: Pin<KBox<Mutex<KVec<Member>>>>,
}

impl Room {
    /// Queues a line for all but `speaker`.
    fn tell(&self, speaker: &Name, line: &[u8]) {
        for member in self.members.lock().iter_mut() {
            if member.name != *speaker {
                member.tell(line);
            }
        }
    }

    /// Makes a guest a member under that name; returns false if another member has it.
    fn enter(&self, name: Name, sender: Sender) -> Result<bool> {
        let arrival = CString::try_from_fmt(fmt!("* {} has come\n", name.as_str()))?;
        let newcomer = Member {
            name,
            sender,
            missed: 0,
        };
        let mut members = self.members.lock();
        if members.iter().any(|member| member.name == name) {
            return Ok(false);
        }
        members.push(newcomer, GFP_KERNEL)?;
        drop(members);
        self.tell(&name, arrival.to_bytes());
        Ok(true)
    }

    /// Returns a line with the names of the members.
    fn list(&self) -> Result<KVec<u8>> {
        let members = self.members.lock();
        let mut line = KVec::new();
        for member in members.iter().take(LISTED) {
            let before: &[u8] = if line.is_empty() { b"* " } else { b", " };
            line.extend_from_slice(before, GFP_KERNEL)?;
            line.extend_from_slice(member.name.as_str().as_bytes(), GFP_KERNEL)?;
        }
        if members.len() > LISTED {
            line.extend_from_slice(b" and others", GFP_KERNEL)?;
        }
        line.push(b'\n', GFP_KERNEL)?;
        Ok(line)
    }

    /// Carries out a line that `guest` has typed. With `ENOBUFS` it has done nothing, and can be repeated.
    fn hear(&self, guest: &mut Guest, line: &[u8], output: &mut Output<'_>) -> Result<Next> {
        // Control characters would reach the terminals of the others.
        let text = core::str::from_utf8(line).unwrap_or("\0").trim();
        if text.contains(char::is_control) {
            output.write(b"* that is no text\n")?;
            return Ok(Next::Receive);
        }
        let Some(name) = guest.name else {
            return self.introduce(guest, text, output);
        };
        match text {
            "" => {}
            "/quit" => return Ok(Next::Close),
            "/who" => output.write(&self.list()?)?,
            _ if text.starts_with('/') => output.write(HELP)?,
            _ => {
                let line = CString::try_from_fmt(fmt!("{}: {text}\n", name.as_str()))?;
                self.tell(&name, line.to_bytes());
            }
        }
        Ok(Next::Receive)
    }

    /// Takes the first line of a guest as its name.
    fn introduce(&self, guest: &mut Guest, text: &str, output: &mut Output<'_>) -> Result<Next> {
        let name = match Name::try_from(text) {
            Ok(name)
                if (1..=LETTERS).contains(&text.chars().count())
                    && text.chars().all(char::is_alphanumeric) =>
            {
                name
            }
            _ => {
                output.write(b"* 1 to 16 letters and digits, please\n")?;
                return Ok(Next::Receive);
            }
        };
        if output.room() < HELP.len() {
            // A guest enters only once, so there must be room for the answer. Otherwise this write
            // fails, and the handler is called again when there is room.
            output.write(HELP)?;
        }
        if self.enter(name, guest.sender.clone())? {
            guest.name = Some(name);
            output.write(HELP)?;
        } else {
            output.write(b"* somebody has that name, give another\n")?;
        }
        Ok(Next::Receive)
    }
}

/// One connection.
struct Guest {
    sender: Sender,
    /// `None` until the guest has typed it.
    name: Option<Name>,
    telnet: Telnet,
    /// The part of a line that has come; a buffer of its own, for telnet may come in between.
    line: KVec<u8>,
}

impl Guest {
    /// Returns true if `byte` ends the line.
    ///
    /// To telnet, a person's return key is `CR LF`, `CR NUL` or `LF` (RFC 1123, 3.3.1).
    fn is_end(&self, byte: u8) -> bool {
        byte == b'\n' || byte == 0 && self.line.last() == Some(&b'\r')
    }
}

impl Handler for Room {
    type Session = Guest;

    fn open(&self, peer: &Peer<'_>) -> Result<Guest> {
        let sender = peer.sender();
        sender.send(b"* what is your name?\n")?;
        Ok(Guest {
            sender,
            name: None,
            telnet: Telnet::default(),
            line: KVec::new(),
        })
    }

    fn receive(
        &self,
        guest: &mut Guest,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        while let Some(&byte) = input.first() {
            let text = guest.telnet.text(byte);
            if text.is_some_and(|byte| guest.is_end(byte)) {
                let line = mem::take(&mut guest.line);
                match self.hear(guest, &line, output) {
                    Ok(Next::Receive) => {}
                    Err(ENOBUFS) => {
                        // Called again when there is room, with the end of the line still to come.
                        guest.line = line;
                        break;
                    }
                    other => return other,
                }
            } else if let Some(byte) = text {
                // What is only the start of the end does not count.
                if guest.line.len() >= LONGEST + usize::from(byte == b'\r') {
                    // Without room, there is just the end.
                    let _ = output.write(TOO_LONG);
                    return Ok(Next::Close);
                }
                guest.line.push(byte, GFP_KERNEL)?;
            }
            input.consume(1);
        }
        Ok(Next::Receive)
    }

    fn close(&self, guest: Guest, _reason: CloseReason) {
        let Some(name) = guest.name else {
            return;
        };
        self.members.lock().retain(|member| member.name != name);
        // Without memory the others get no notice.
        if let Ok(line) = CString::try_from_fmt(fmt!("* {} has gone\n", name.as_str())) {
            self.tell(&name, line.to_bytes());
        }
    }
}

struct Chat {
    _server: KernelTcpServer,
}

impl kernel::Module for Chat {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let set = Parameters::read()?;
        let room = Room {
            members: KBox::pin_init(new_mutex!(KVec::new()), GFP_KERNEL)?,
        };
        let server = set
            .builder(c"chat")
            .max_connections(set.max_connections)
            .input_buffer(INPUT)
            .output_buffer(BACKLOG)
            .send_timeout(Delta::from_secs(60))
            .start(module, room)?;
        pr_info!("listening on {:?}\n", server.local_addr());
        Ok(Self { _server: server })
    }
}
