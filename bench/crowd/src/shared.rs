// SPDX-License-Identifier: GPL-2.0

//! A client that has the kernel send its own pages, and changes them when the server has received
//! what was in them.

use crate::{commands::Counts, crowd::Crowd, stream::fill};
use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::{
    fs::{memfd_create, sendfile, MemfdFlags},
    io::Errno,
    pipe::{pipe_with, splice, vmsplice, IoSliceRaw, PipeFlags, SpliceFlags},
};
use std::{
    fs::{self, File},
    io::{self, Read},
    net::TcpStream,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Which pages are given, and by which call.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Way {
    /// Memory of the process: vmsplice() and splice()
    Memory,
    /// The same, as a gift (SPLICE_F_GIFT), which it does not keep its word about
    Gift,
    /// A file in memory: sendfile()
    File,
    /// A file in memory: splice() by way of a pipe
    Pipe,
}

/// The length of what is given, again and again.
const SIZE: usize = 1 << 20;
/// What a pipe takes.
const PIECE: usize = 64 << 10;
/// Nothing moves any more when nothing has moved for that long.
const QUIET: Duration = Duration::from_secs(1);

/// The pages.
struct Shared {
    way: Way,
    /// As it was at first.
    original: Vec<u8>,
    memory: Vec<u8>,
    file: File,
    pipe: (OwnedFd, OwnedFd),
    /// Bytes that are in the pipe.
    piped: usize,
}

impl Shared {
    fn new(way: Way, seed: u64) -> Result<Self> {
        let mut original = vec![0; SIZE];
        fill(seed, 0, &mut original);
        let file = File::from(memfd_create("shared", MemfdFlags::empty())?);
        file.write_all_at(&original, 0)?;
        Ok(Self {
            way,
            memory: original.clone(),
            original,
            file,
            pipe: pipe_with(PipeFlags::NONBLOCK)?,
            piped: 0,
        })
    }

    /// Sends from `position` on, and says how much; the pages, not copies of them.
    fn send(&mut self, stream: &TcpStream, position: usize) -> rustix::io::Result<usize> {
        let (reader, writer) = &self.pipe;
        let start = (position + self.piped) % SIZE;
        let count = PIECE.min(SIZE - start);
        let mut offset = start as u64;
        match self.way {
            Way::File => return sendfile(stream, &self.file, Some(&mut offset), count),
            _ if self.piped > 0 => {}
            Way::Pipe => {
                let flags = SpliceFlags::NONBLOCK;
                self.piped = splice(&self.file, Some(&mut offset), writer, None, count, flags)?;
            }
            Way::Memory | Way::Gift => {
                let flags = match self.way {
                    Way::Gift => SpliceFlags::NONBLOCK | SpliceFlags::GIFT,
                    _ => SpliceFlags::NONBLOCK,
                };
                let piece = IoSliceRaw::from_slice(&self.memory[start..start + count]);
                // SAFETY: The memory is changed while the kernel has it, which is what this is for;
                // it is not freed before the program ends, and all bytes are good ones.
                self.piped = unsafe { vmsplice(writer, &[piece], flags)? };
            }
        }
        let flags = SpliceFlags::NONBLOCK;
        let sent = splice(reader, None, stream, None, self.piped, flags)?;
        self.piped -= sent;
        Ok(sent)
    }

    /// Turns every bit.
    fn change(&mut self) -> io::Result<()> {
        for byte in &mut self.memory {
            *byte = !*byte;
        }
        self.file.write_all_at(&self.memory, 0)
    }
}

/// The bytes that the server has received, by its own account.
fn received_by_server(stats: &Path) -> Result<u64> {
    let text = fs::read_to_string(stats).with_context(|| format!("{}", stats.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("bytes_in "));
    Ok(line.context("no bytes_in")?.trim().parse()?)
}

/// Sends whatever goes without reading, changes the pages, then reads it all: what the server has
/// received before the change is to be what it was, and the rest one or the other.
pub fn share(crowd: &mut Crowd, way: Way, stats: &Path) -> Result<Counts> {
    let mut shared = Shared::new(way, crowd.random.u64(..))?;
    let before = received_by_server(stats)?;
    let mut stream = TcpStream::connect(crowd.next_addr())?;
    stream.set_nonblocking(true)?;

    let (mut sent, mut quiet) = (0, Instant::now());
    while quiet.elapsed() < QUIET && !crowd.is_over() {
        match shared.send(&stream, sent) {
            Ok(count) => (sent, quiet) = (sent + count, Instant::now()),
            Err(Errno::AGAIN) => thread::sleep(Duration::from_millis(10)),
            Err(error) => return Err(error.into()),
        }
    }
    let received = (received_by_server(stats)? - before) as usize;
    shared.change()?;

    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut echo = vec![0; sent];
    stream.read_exact(&mut echo)?;
    let (mut changed, mut corrupt) = (0, 0);
    for (position, &byte) in echo.iter().enumerate() {
        let original = shared.original[position % SIZE];
        match byte {
            _ if byte == original => {}
            _ if byte == !original && position >= received => changed += 1,
            _ => corrupt += 1,
        }
    }
    Ok(vec![
        ("sent", sent as u64),
        ("received", received as u64),
        ("changed", changed),
        ("corrupt", corrupt),
    ])
}
