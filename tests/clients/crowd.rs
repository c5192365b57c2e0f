// SPDX-License-Identifier: GPL-2.0

//! A crowd of clients of an echo server, in one thread, for tests inside a guest.
//!
//!     crowd COMMAND [KEY=VALUE]...
//!
//! Whatever comes back is compared with what was sent, byte for byte. The end is a line `KEY VALUE`
//! for each thing that was counted; `corrupt` counts connections on which anything came that was not
//! sent, and makes the exit status 1. Nothing runs for longer than `seconds`, or goes on when there is
//! a file `until`.

use std::{
    collections::HashMap,
    env,
    io::{
        self,
        ErrorKind,
        Read,
        Write, //
    },
    net::{
        Shutdown,
        SocketAddr,
        TcpStream, //
    },
    os::fd::{
        AsRawFd,
        RawFd, //
    },
    path::PathBuf,
    process,
    time::{
        Duration,
        Instant, //
    }, //
};

/// What the standard library lacks of the C library.
mod c {
    #[repr(C, packed)]
    #[derive(Clone, Copy)]
    pub struct EpollEvent {
        pub events: u32,
        pub data: u64,
    }

    #[repr(C)]
    pub struct Linger {
        pub on: i32,
        pub seconds: i32,
    }

    pub const EPOLLIN: u32 = 1;
    pub const EPOLLOUT: u32 = 4;
    pub const EPOLL_CTL_ADD: i32 = 1;
    pub const EPOLL_CTL_DEL: i32 = 2;
    pub const EPOLL_CTL_MOD: i32 = 3;
    pub const SOL_SOCKET: i32 = 1;
    pub const SO_LINGER: i32 = 13;

    extern "C" {
        pub fn epoll_create1(flags: i32) -> i32;
        pub fn epoll_ctl(epoll: i32, operation: i32, fd: i32, event: *mut EpollEvent) -> i32;
        pub fn epoll_wait(epoll: i32, events: *mut EpollEvent, most: i32, millis: i32) -> i32;
        pub fn setsockopt(fd: i32, level: i32, name: i32, value: *const Linger, length: u32)
            -> i32;
    }
}

/// The descriptors that are waited for, each with a number.
struct Poll {
    epoll: RawFd,
    events: Vec<c::EpollEvent>,
}

impl Poll {
    fn new() -> io::Result<Self> {
        // SAFETY: Takes nothing but flags.
        let epoll = check(unsafe { c::epoll_create1(0) })?;
        let none = c::EpollEvent { events: 0, data: 0 };
        Ok(Self {
            epoll,
            events: vec![none; 1024],
        })
    }

    fn control(&self, operation: i32, fd: RawFd, events: u32, number: usize) -> io::Result<()> {
        let mut event = c::EpollEvent {
            events,
            data: number as u64,
        };
        // SAFETY: Both descriptors are open, and `event` is read only.
        check(unsafe { c::epoll_ctl(self.epoll, operation, fd, &mut event) })?;
        Ok(())
    }

    /// The numbers of those that are ready, after `most` at the latest.
    fn wait(&mut self, most: Duration) -> io::Result<Vec<usize>> {
        let millis = most.as_millis().min(1000) as i32;
        let room = self.events.len() as i32;
        // SAFETY: There is room for as many events.
        let count = unsafe { c::epoll_wait(self.epoll, self.events.as_mut_ptr(), room, millis) };
        match check(count) {
            Ok(count) => Ok(self.events[..count as usize]
                .iter()
                .map(|event| event.data as usize)
                .collect()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn check(returned: i32) -> io::Result<i32> {
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(returned)
}

/// Has the connection reset when it is closed.
fn reset_on_close(stream: &TcpStream) {
    let linger = c::Linger { on: 1, seconds: 0 };
    let length = size_of::<c::Linger>() as u32;
    // SAFETY: The descriptor is open, and this is what the option takes.
    unsafe {
        c::setsockopt(
            stream.as_raw_fd(),
            c::SOL_SOCKET,
            c::SO_LINGER,
            &linger,
            length,
        )
    };
}

/// Random numbers that are the same for the same seed (SplitMix64).
#[derive(Clone, Copy)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// Writes what a connection with that seed sends from `offset` on: all values, and runs of NULs.
fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        let position = offset + index as u64;
        let block = position / 8;
        let word = match block % 5 {
            0 => 0,
            _ => Random(seed.wrapping_add(block.wrapping_mul(0x2545_f491_4f6c_dd1d))).next(),
        };
        *byte = (word >> (8 * (position % 8))) as u8;
    }
}

/// What a client of the crowd wants to do.
#[derive(Clone, Copy)]
struct Plan {
    /// How many bytes it sends.
    total: u64,
    /// Whether it reads.
    reads: bool,
    /// Whether it says that it has sent its last byte, and then reads up to the server's last.
    half_closes: bool,
}

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// All that was sent has come back, and the end if that was planned.
    Complete,
    /// The connection has ended before that.
    Broken,
    /// Something came that was not sent.
    Corrupt,
}

struct Client {
    stream: TcpStream,
    seed: u64,
    plan: Plan,
    sent: u64,
    received: u64,
    state: State,
    interest: u32,
}

impl Client {
    fn connect(addr: SocketAddr, seed: u64, plan: Plan) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(20))?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            seed,
            plan,
            sent: 0,
            received: 0,
            state: State::Open,
            interest: 0,
        })
    }

    /// Sends as much as goes.
    fn push(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        while self.sent < self.plan.total {
            let count = (self.plan.total - self.sent).min(buffer.len() as u64) as usize;
            fill(self.seed, self.sent, &mut buffer[..count]);
            match self.stream.write(&buffer[..count]) {
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.sent == self.plan.total && self.plan.half_closes {
                self.stream.shutdown(Shutdown::Write)?;
            }
        }
        Ok(())
    }

    /// Reads as much as is there, and compares it.
    fn pull(&mut self, buffer: &mut [u8], expected: &mut [u8]) -> io::Result<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => {
                    let whole = self.plan.half_closes && self.received == self.plan.total;
                    self.state = if whole {
                        State::Complete
                    } else {
                        State::Broken
                    };
                    return Ok(());
                }
                Ok(count) => {
                    fill(self.seed, self.received, &mut expected[..count]);
                    self.received += count as u64;
                    if self.received > self.sent || buffer[..count] != expected[..count] {
                        self.state = State::Corrupt;
                        return Ok(());
                    }
                    if self.received == self.plan.total && !self.plan.half_closes {
                        self.state = State::Complete;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Does what can be done without waiting.
    fn advance(&mut self, space: &mut Space) {
        let mut moved = self.push(&mut space.buffer);
        if self.plan.reads {
            // What was sent back before an error is looked at all the same.
            let pulled = self.pull(&mut space.buffer, &mut space.expected);
            moved = moved.and(pulled);
        }
        if moved.is_err() && self.state == State::Open {
            self.state = State::Broken;
        }
    }

    fn wanted(&self) -> u32 {
        let mut events = 0;
        if self.plan.reads {
            events |= c::EPOLLIN;
        }
        if self.sent < self.plan.total {
            events |= c::EPOLLOUT;
        }
        events
    }
}

/// Room for what is sent and received.
struct Space {
    buffer: Vec<u8>,
    expected: Vec<u8>,
}

/// All clients, by their numbers.
struct Crowd {
    poll: Poll,
    space: Space,
    clients: Vec<Option<Client>>,
    deadline: Instant,
    until: Option<PathBuf>,
    random: Random,
}

impl Crowd {
    fn new(options: &Options) -> io::Result<Self> {
        let seconds = options.number("seconds", 60);
        Ok(Self {
            poll: Poll::new()?,
            space: Space {
                buffer: vec![0; 1 << 16],
                expected: vec![0; 1 << 16],
            },
            clients: Vec::new(),
            deadline: Instant::now() + Duration::from_secs(seconds),
            until: options.values.get("until").map(PathBuf::from),
            random: Random(options.number("seed", 1)),
        })
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline || self.until.as_ref().is_some_and(|file| file.exists())
    }

    /// Takes a client in, to be waited for.
    fn add(&mut self, client: Client) -> io::Result<usize> {
        let number = match self.clients.iter().position(Option::is_none) {
            Some(number) if self.clients.len() < 4096 => number,
            _ => {
                self.clients.push(None);
                self.clients.len() - 1
            }
        };
        let fd = client.stream.as_raw_fd();
        self.poll.control(c::EPOLL_CTL_ADD, fd, 0, number)?;
        self.clients[number] = Some(client);
        self.watch(number)?;
        Ok(number)
    }

    fn watch(&mut self, number: usize) -> io::Result<()> {
        if let Some(client) = &mut self.clients[number] {
            let wanted = if client.state == State::Open {
                client.wanted()
            } else {
                0
            };
            if wanted != client.interest {
                client.interest = wanted;
                let fd = client.stream.as_raw_fd();
                self.poll.control(c::EPOLL_CTL_MOD, fd, wanted, number)?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, number: usize) -> io::Result<()> {
        if let Some(client) = &mut self.clients[number] {
            if client.state == State::Open {
                client.advance(&mut self.space);
                if client.state != State::Open {
                    let fd = client.stream.as_raw_fd();
                    return self.poll.control(c::EPOLL_CTL_DEL, fd, 0, number);
                }
            }
        }
        self.watch(number)
    }

    /// Waits for at most that long, and does what is to be done for those that are ready.
    fn turn(&mut self, most: Duration) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let ready = self.poll.wait(most.min(left))?;
        for &number in &ready {
            self.advance(number)?;
        }
        Ok(ready.len())
    }

    /// Turns until no client is on its way any more, or until time is up.
    fn finish(&mut self) -> io::Result<()> {
        while self.count(State::Open) > 0 && !self.is_over() {
            self.turn(Duration::from_millis(200))?;
        }
        Ok(())
    }

    fn count(&self, state: State) -> usize {
        let clients = self.clients.iter().flatten();
        clients.filter(|client| client.state == state).count()
    }

    /// Connects `count` clients, and lets each have `bytes` back.
    fn gather(&mut self, options: &Options, count: usize, bytes: u64) -> io::Result<()> {
        for index in 0..count {
            let plan = Plan {
                total: bytes,
                reads: true,
                half_closes: false,
            };
            let seed = self.random.next();
            let client = Client::connect(options.addr(index), seed, plan)?;
            let number = self.add(client)?;
            self.advance(number)?;
            if index % 64 == 0 {
                self.turn(Duration::ZERO)?;
            }
            if self.is_over() {
                break;
            }
        }
        self.finish()
    }

    /// Has all that are complete send `bytes` more.
    fn ask(&mut self, bytes: u64) -> io::Result<()> {
        for number in 0..self.clients.len() {
            let Some(client) = &mut self.clients[number] else {
                continue;
            };
            if client.state != State::Complete {
                continue;
            }
            client.plan.total += bytes;
            client.state = State::Open;
            client.interest = 0;
            let fd = client.stream.as_raw_fd();
            self.poll.control(c::EPOLL_CTL_ADD, fd, 0, number)?;
            if let Some(client) = &mut self.clients[number] {
                if client.push(&mut self.space.buffer).is_err() {
                    client.state = State::Broken;
                }
            }
            self.watch(number)?;
        }
        Ok(())
    }
}

/// What the command line says.
struct Options {
    values: HashMap<String, String>,
}

impl Options {
    fn number(&self, key: &str, default: u64) -> u64 {
        match self.values.get(key) {
            None => default,
            Some(value) => value
                .parse()
                .unwrap_or_else(|_| usage(&format!("{key}={value} is no number"))),
        }
    }

    /// Where client number `index` connects to.
    fn addr(&self, index: usize) -> SocketAddr {
        let text = self
            .values
            .get("addr")
            .map_or("127.0.0.1:12345", |text| text);
        let all: Vec<&str> = text.split(',').collect();
        let one = all[index % all.len()];
        one.parse()
            .unwrap_or_else(|_| usage(&format!("addr={one} is no address with a port")))
    }
}

fn usage(problem: &str) -> ! {
    eprintln!("crowd: {problem}");
    eprintln!("usage: crowd ask|hold|talk|deaf|transfer|storm [addr=A:P,…] [n=N] [bytes=N] [seconds=N] [seed=N] [until=FILE]");
    process::exit(2);
}

type Counts = Vec<(&'static str, u64)>;

fn states(crowd: &Crowd) -> Counts {
    vec![
        ("complete", crowd.count(State::Complete) as u64),
        ("open", crowd.count(State::Open) as u64),
        ("broken", crowd.count(State::Broken) as u64),
        ("corrupt", crowd.count(State::Corrupt) as u64),
    ]
}

/// Connects, then has everybody ask at once.
fn ask(crowd: &mut Crowd, options: &Options) -> io::Result<Counts> {
    let bytes = options.number("bytes", 64);
    crowd.gather(options, options.number("n", 100) as usize, 1)?;
    let connected = crowd.count(State::Complete) as u64;
    let started = Instant::now();
    crowd.ask(bytes)?;
    crowd.finish()?;
    let millis = started.elapsed().as_millis() as u64;
    let mut counts = vec![("connected", connected), ("millis", millis)];
    counts.extend(states(crowd));
    Ok(counts)
}

/// Says "holding N" when all have had an answer, and holds the connections until time is up or all
/// have ended.
fn hold(crowd: &mut Crowd, options: &Options) -> io::Result<Counts> {
    crowd.gather(options, options.number("n", 100) as usize, 1)?;
    let held = crowd.count(State::Complete) as u64;
    println!("holding {held}");
    // They wait for one more byte than they will get.
    for number in 0..crowd.clients.len() {
        if let Some(client) = &mut crowd.clients[number] {
            if client.state == State::Complete {
                client.state = State::Open;
                client.interest = 0;
                let fd = client.stream.as_raw_fd();
                crowd.poll.control(c::EPOLL_CTL_ADD, fd, 0, number)?;
                crowd.watch(number)?;
            }
        }
    }
    crowd.finish()?;
    let mut counts = vec![("held", held)];
    counts.extend(states(crowd));
    Ok(counts)
}

/// One that talks for `talk` seconds beside many that are silent, which are then asked whether they
/// are still there.
fn talk(crowd: &mut Crowd, options: &Options) -> io::Result<Counts> {
    let bytes = options.number("bytes", 64) as usize;
    crowd.gather(options, options.number("n", 100) as usize, 1)?;
    let idle = crowd.count(State::Complete) as u64;

    let mut stream = TcpStream::connect(options.addr(0))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let (mut sent, mut received) = (vec![0; bytes], vec![0; bytes]);
    let mut micros = Vec::new();
    let mut corrupt = 0;
    let until = Instant::now() + Duration::from_secs(options.number("talk", 3));
    while Instant::now() < until {
        fill(crowd.random.next(), 0, &mut sent);
        let started = Instant::now();
        stream.write_all(&sent)?;
        stream.read_exact(&mut received)?;
        micros.push(started.elapsed().as_micros() as u64);
        corrupt += u64::from(sent != received);
    }
    micros.sort_unstable();

    crowd.ask(1)?;
    crowd.finish()?;
    let mut counts = vec![
        ("idle", idle),
        ("echoes", micros.len() as u64),
        (
            "median_us",
            micros.get(micros.len() / 2).copied().unwrap_or(0),
        ),
        ("longest_us", micros.last().copied().unwrap_or(0)),
    ];
    counts.extend(states(crowd));
    if let Some((_, count)) = counts.iter_mut().find(|(key, _)| *key == "corrupt") {
        *count += corrupt;
    }
    Ok(counts)
}

/// Clients that send whatever goes and never read. Says "deaf N" when nothing goes any more, and
/// holds the connections until time is up or all have ended.
fn deaf(crowd: &mut Crowd, options: &Options) -> io::Result<Counts> {
    for index in 0..options.number("n", 100) as usize {
        let plan = Plan {
            total: u64::MAX,
            reads: false,
            half_closes: false,
        };
        let seed = crowd.random.next();
        let number = crowd.add(Client::connect(options.addr(index), seed, plan)?)?;
        crowd.advance(number)?;
    }
    let mut quiet = Instant::now();
    while quiet.elapsed() < Duration::from_secs(1) && !crowd.is_over() {
        if crowd.turn(Duration::from_millis(100))? > 0 {
            quiet = Instant::now();
        }
    }
    let sent: u64 = crowd
        .clients
        .iter()
        .flatten()
        .map(|client| client.sent)
        .sum();
    println!("deaf {}", crowd.count(State::Open));
    crowd.finish()?;
    let mut counts = vec![("sent", sent)];
    counts.extend(states(crowd));
    Ok(counts)
}

/// Clients that each send `bytes` and want all of it back, and then the end.
fn transfer(crowd: &mut Crowd, options: &Options) -> io::Result<Counts> {
    let mut refused = 0;
    for index in 0..options.number("n", 10) as usize {
        let plan = Plan {
            total: options.number("bytes", 1 << 20),
            reads: true,
            half_closes: true,
        };
        let seed = crowd.random.next();
        match Client::connect(options.addr(index), seed, plan) {
            Ok(client) => {
                crowd.add(client)?;
            }
            Err(_) => refused += 1,
        }
        crowd.turn(Duration::ZERO)?;
    }
    crowd.finish()?;
    let received = crowd
        .clients
        .iter()
        .flatten()
        .map(|client| client.received)
        .sum();
    let mut counts = vec![("refused", refused), ("received", received)];
    counts.extend(states(crowd));
    Ok(counts)
}

/// Until time is up, `n` clients at a time that come, talk and go as it pleases them.
fn storm(crowd: &mut Crowd, options: &Options) -> io::Result<Counts> {
    let (at_once, most) = (
        options.number("n", 50) as usize,
        options.number("bytes", 100_000),
    );
    let (mut refused, mut ended, mut resets) = (0, [0; 3], 0);
    while !crowd.is_over() {
        while crowd.clients.iter().flatten().count() < at_once && !crowd.is_over() {
            let plan = Plan {
                total: match crowd.random.below(4) {
                    0 => 0,
                    1 => 1 + crowd.random.below(64),
                    _ => 1 + crowd.random.below(most),
                },
                reads: crowd.random.below(8) != 0,
                half_closes: crowd.random.below(2) == 0,
            };
            let seed = crowd.random.next();
            match Client::connect(options.addr(0), seed, plan) {
                Ok(client) => {
                    let number = crowd.add(client)?;
                    crowd.advance(number)?;
                }
                Err(_) => {
                    refused += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        crowd.turn(Duration::from_millis(10))?;
        for number in 0..crowd.clients.len() {
            let leaves = crowd.random.below(50) == 0;
            let Some(client) = &crowd.clients[number] else {
                continue;
            };
            match client.state {
                State::Open if leaves => {
                    if crowd.random.below(2) == 0 {
                        reset_on_close(&client.stream);
                    }
                    resets += 1;
                }
                State::Open => continue,
                State::Complete => ended[0] += 1,
                State::Broken => ended[1] += 1,
                State::Corrupt => ended[2] += 1,
            }
            crowd.clients[number] = None;
        }
    }
    let [complete, broken, corrupt] = ended;
    Ok(vec![
        ("refused", refused),
        ("left", resets),
        ("complete", complete),
        ("broken", broken),
        ("corrupt", corrupt),
    ])
}

fn main() {
    let mut words = env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let values = words
        .map(|word| match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => usage(&format!("`{word}` is not KEY=VALUE")),
        })
        .collect();
    let options = Options { values };
    let run = match &*command {
        "ask" => ask,
        "hold" => hold,
        "talk" => talk,
        "deaf" => deaf,
        "transfer" => transfer,
        "storm" => storm,
        _ => usage(&format!("`{command}` is no command")),
    };
    let counts = Crowd::new(&options).and_then(|mut crowd| run(&mut crowd, &options));
    match counts {
        Ok(counts) => {
            for (key, value) in &counts {
                println!("{key} {value}");
            }
            let corrupt = counts
                .iter()
                .any(|(key, count)| *key == "corrupt" && *count > 0);
            process::exit(corrupt.into());
        }
        Err(error) => {
            eprintln!("crowd: {error}");
            process::exit(3);
        }
    }
}
