// SPDX-License-Identifier: GPL-2.0

//! Effects of the options of sockets.

use kernel::prelude::*;

#[kunit_tests(ktcp_net_options)]
mod tests {
    use super::*;
    use crate::{
        support::{
            any_port,
            connect,
            namespace,
            pattern,
            read_to_end,
            transfer,
            Stopwatch, //
        },
        THIS_MODULE, //
    };
    use core::net::{
        IpAddr,
        Ipv4Addr,
        Ipv6Addr,
        SocketAddr, //
    };
    use kernel::time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    };
    use ktcp_server::{
        error::EOPNOTSUPP,
        kthread,
        net::{
            Device,
            Keepalive,
            ListenOptions,
            TcpListener,
            TcpStream, //
        }, //
    };

    const ANY_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

    /// Both ends of a connection to a listener with these options.
    fn pair(options: ListenOptions) -> Result<(TcpStream, TcpStream)> {
        let listener = options.bind(&namespace()?, any_port())?;
        let client = connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        Ok((client, server))
    }

    /// Returns the number of bytes that can be sent to a peer that does not read.
    fn capacity(stream: &TcpStream) -> Result<usize> {
        let block = pattern(4 << 10)?;
        let mut sent = 0;
        loop {
            match stream.try_write(&block) {
                Ok(count) => sent += count,
                Err(EAGAIN) => return Ok(sent),
                Err(error) => return Err(error),
            }
        }
    }

    #[test]
    fn what_was_set_is_read_back() -> Result {
        let (client, _server) = pair(TcpListener::options())?;
        assert!(!client.nodelay()?);
        client.set_nodelay(true)?;
        assert!(client.nodelay()?);

        assert!(!client.out_of_band_inline()?);
        client.set_out_of_band_inline(true)?;
        assert!(client.out_of_band_inline()?);

        assert_eq!(client.keepalive()?, None);
        let keepalive = Keepalive::new(11, 7, 3)?;
        client.set_keepalive(Some(keepalive))?;
        assert_eq!(client.keepalive()?, Some(keepalive));
        client.set_keepalive(None)?;
        assert_eq!(client.keepalive()?, None);

        assert!(client.user_timeout()?.is_none());
        client.set_user_timeout(Some(Delta::from_millis(1234)))?;
        assert_eq!(client.user_timeout()?.map(Delta::as_millis), Some(1234));
        client.set_user_timeout(None)?;
        assert!(client.user_timeout()?.is_none());

        client.set_send_buffer_size(20_000)?;
        assert_eq!(client.send_buffer_size()?, 20_000);
        client.set_receive_buffer_size(30_000)?;
        assert_eq!(client.receive_buffer_size()?, 30_000);
        Ok(())
    }

    #[test]
    fn accepted_connections_have_the_options_of_their_listener() -> Result {
        let keepalive = Keepalive::new(100, 10, 5)?;
        let (_client, server) = pair(
            TcpListener::options()
                .nodelay(true)
                .out_of_band_inline(true)
                .keepalive(keepalive)
                .user_timeout(Delta::from_secs(9))
                .send_buffer_size(20_000)
                .receive_buffer_size(30_000),
        )?;
        assert!(server.nodelay()?);
        assert!(server.out_of_band_inline()?);
        assert_eq!(server.keepalive()?, Some(keepalive));
        assert_eq!(server.user_timeout()?.map(Delta::as_millis), Some(9000));
        assert_eq!(server.send_buffer_size()?, 20_000);
        assert_eq!(server.receive_buffer_size()?, 30_000);
        Ok(())
    }

    #[test]
    fn clients_connect_with_their_options() -> Result {
        let listener = TcpListener::bind(&namespace()?, any_port())?;
        let keepalive = Keepalive::new(Keepalive::MAX_SECONDS, 1, Keepalive::MAX_PROBES)?;
        let client = TcpStream::options()
            .nodelay(true)
            .out_of_band_inline(true)
            .keepalive(keepalive)
            .user_timeout(Delta::from_secs(9))
            .send_buffer_size(20_000)
            .receive_buffer_size(30_000)
            .connect(&namespace()?, listener.local_addr()?)?;
        assert!(client.nodelay()?);
        assert!(client.out_of_band_inline()?);
        assert_eq!(client.keepalive()?, Some(keepalive));
        assert_eq!(client.user_timeout()?.map(Delta::as_millis), Some(9000));
        assert_eq!(client.send_buffer_size()?, 20_000);
        assert_eq!(client.receive_buffer_size()?, 30_000);
        Ok(())
    }

    #[test]
    fn values_out_of_range_are_refused() -> Result {
        for (idle, interval, probes) in [
            (0, 1, 1),
            (1, 0, 1),
            (1, 1, 0),
            (32768, 1, 1),
            (1, 32768, 1),
            (1, 1, 128),
        ] {
            assert_eq!(Keepalive::new(idle, interval, probes), Err(EINVAL));
        }

        let (client, _server) = pair(TcpListener::options())?;
        for bytes in [0, 1 << 30, u32::MAX] {
            assert_eq!(client.set_send_buffer_size(bytes), Err(EINVAL));
            assert_eq!(client.set_receive_buffer_size(bytes), Err(EINVAL));
        }
        for millis in [i64::MIN / 1_000_000, -1, 0, 1 << 31] {
            let timeout = Some(Delta::from_millis(millis));
            assert_eq!(client.set_user_timeout(timeout), Err(EINVAL));
        }
        let listener = TcpListener::options().send_buffer_size(0);
        assert_eq!(listener.bind(&namespace()?, any_port()).err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn a_listener_for_v6_alone_refuses_v4() -> Result {
        let only = TcpListener::options().only_v6(true);
        let listener = only.clone().bind(&namespace()?, ANY_V6)?;
        let port = listener.local_addr()?.port();
        let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert_eq!(connect(v4).err(), Some(ECONNREFUSED));
        connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port)))?;

        // The same port of the other family is not taken.
        let _other = TcpListener::bind(&namespace()?, v4)?;
        assert_eq!(only.bind(&namespace()?, any_port()).err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn a_dual_listener_shows_v4_peers_with_mapped_addresses() -> Result {
        let listener = TcpListener::options()
            .only_v6(false)
            .bind(&namespace()?, ANY_V6)?;
        let port = listener.local_addr()?.port();
        let four = connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let (_, peer) = listener.accept()?;
        assert_eq!(peer.ip(), Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        assert_eq!(peer.port(), four.local_addr()?.port());

        let six = connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port)))?;
        let (_, peer) = listener.accept()?;
        assert_eq!(peer, six.local_addr()?);
        Ok(())
    }

    #[test]
    fn listeners_that_want_it_share_a_port() -> Result {
        let shared = TcpListener::options().reuse_port(true);
        let one = shared.clone().bind(&namespace()?, any_port())?;
        let addr = one.local_addr()?;
        let other = shared.bind(&namespace()?, addr)?;
        let third = TcpListener::bind(&namespace()?, addr);
        assert_eq!(third.err(), Some(EADDRINUSE));

        // Each client is given to one of the two listeners, and both get some.
        let mut clients = KVec::new();
        for _ in 0..64 {
            clients.push(connect(addr)?, GFP_KERNEL)?;
        }
        let waiting =
            |listener: &TcpListener| core::iter::from_fn(|| listener.try_accept().ok()).count();
        let (first, second) = (waiting(&one), waiting(&other));
        assert_eq!(first + second, 64);
        assert!(first > 0);
        assert!(second > 0);
        Ok(())
    }

    #[test]
    fn buffer_sizes_bound_what_a_peer_that_does_not_read_is_sent() -> Result {
        let listener = TcpListener::options()
            .send_buffer_size(8 << 10)
            .bind(&namespace()?, any_port())?;
        let _client = TcpStream::options()
            .receive_buffer_size(8 << 10)
            .connect(&namespace()?, listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        let bounded = capacity(&server)?;
        assert!((1..=64 << 10).contains(&bounded));

        let (_client, server) = pair(TcpListener::options())?;
        assert!(capacity(&server)? > 4 * bounded);
        Ok(())
    }

    #[test]
    fn names_of_devices_are_checked() -> Result {
        for name in [
            c"",
            c".",
            c"..",
            c"sixteen-bytes-is",
            c"a/b",
            c"a:1",
            c"a b",
            c"a\n",
        ] {
            assert_eq!(Device::new(name), Err(EINVAL));
        }
        Device::new(c"fifteen-bytes-i")?;
        Device::new(c"a")?;
        Ok(())
    }

    #[test]
    fn sockets_can_be_bound_to_a_device() -> Result {
        let nowhere = Device::new(c"nowhere0")?;
        let listener = TcpListener::options().device(nowhere);
        assert_eq!(listener.bind(&namespace()?, any_port()).err(), Some(ENODEV));

        let lo = Device::new(c"lo")?;
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let listener = TcpListener::options().device(lo).bind(&namespace()?, any)?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.local_addr()?.port()));
        TcpStream::options()
            .device(lo)
            .connect(&namespace()?, addr)?;
        // Ports are counted for each device: the port is free for a socket that is bound to none.
        listener.accept()?;
        Ok(())
    }

    #[test]
    fn clients_choose_their_own_address() -> Result {
        let listener = TcpListener::bind(&namespace()?, any_port())?;
        let addr = listener.local_addr()?;
        let own = SocketAddr::from((Ipv4Addr::new(127, 1, 2, 3), 0));
        let client = TcpStream::options()
            .local_addr(own)
            .connect(&namespace()?, addr)?;
        assert_eq!(client.local_addr()?.ip(), own.ip());
        let (_server, peer) = listener.accept()?;
        assert_eq!(peer, client.local_addr()?);

        for (own, error) in [
            (addr, EADDRINUSE),
            (
                SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0)),
                EADDRNOTAVAIL,
            ),
            (SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), EINVAL),
        ] {
            let client = TcpStream::options().local_addr(own);
            assert_eq!(client.connect(&namespace()?, addr).err(), Some(error));
        }
        Ok(())
    }

    #[test]
    fn connecting_gives_up_in_time() -> Result {
        // More than both sides keep for a peer that does not read
        const SIZE: usize = 256 << 10;

        // One connection waits to be accepted and fills the backlog: a further one gets no answer.
        let listener = TcpListener::options()
            .backlog(0)
            .receive_buffer_size(8 << 10)
            .bind(&namespace()?, any_port())?;
        let addr = listener.local_addr()?;
        let _waiting = connect(addr)?;
        let client = TcpStream::options()
            .send_buffer_size(8 << 10)
            .timeout(Delta::from_millis(200));
        let (watch, begin) = (Stopwatch::start(), Instant::<Monotonic>::now());
        assert_eq!(
            client.clone().connect(&namespace()?, addr).err(),
            Some(ETIMEDOUT)
        );
        assert!(watch.has_run(200));
        assert!(begin.elapsed().as_millis() < 5000);

        // A connection that is made in time keeps no timeout: a write waits as long as the peer does not
        // read.
        listener.accept()?;
        let client = client.connect(&namespace()?, addr)?;
        let (server, _) = listener.accept()?;
        let data = pattern(SIZE)?;
        let writer = kthread::spawn(&THIS_MODULE, c"ktcp-write", move |_| {
            client.write_all(&data)
        })?;
        fsleep(Delta::from_millis(500));
        assert!(read_to_end(&server, SIZE)?[..] == pattern(SIZE)?[..]);
        writer.join()??;
        let none = TcpStream::options().timeout(Delta::ZERO);
        assert_eq!(none.connect(&namespace()?, addr).err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn mptcp_speaks_with_both_kinds_of_peers() -> Result {
        let listener = TcpListener::options()
            .mptcp(true)
            .nodelay(true)
            .out_of_band_inline(true)
            .keepalive(Keepalive::new(100, 10, 5)?)
            .send_buffer_size(100_000)
            .bind(&namespace()?, any_port())?;
        let addr = listener.local_addr()?;
        let data = pattern(100_000)?;
        for mptcp in [false, true] {
            let client = TcpStream::options()
                .mptcp(mptcp)
                .connect(&namespace()?, addr)?;
            let (server, peer) = listener.accept()?;
            assert_eq!(peer, client.local_addr()?);
            // MPTCP cannot read these options back, which tells it apart.
            let missing = mptcp.then_some(EOPNOTSUPP);
            for stream in [&server, &client] {
                assert_eq!(stream.nodelay().err(), missing);
                assert_eq!(stream.user_timeout().err(), missing);
            }
            assert_eq!(server.keepalive().err(), missing);
            if !mptcp {
                assert!(server.out_of_band_inline()?);
            }
            assert_eq!(server.send_buffer_size()?, 100_000);
            assert!(client.receive_buffer_size()? > 0);
            // Nor does it take a user timeout, unless it fell back to TCP because the peer has no MPTCP.
            let timeout = server.set_user_timeout(Some(Delta::from_secs(9)));
            assert_eq!(timeout.err(), mptcp.then_some(ENOPROTOOPT));
            assert!(transfer(&client, &server, &data)?[..] == data[..]);
            server.abort();
            let end = client.read(&mut [0; 1]);
            assert!(matches!(end, Err(ECONNRESET) | Err(EPIPE)));
        }
        Ok(())
    }

    #[test]
    fn mptcp_names_what_it_does_not_have() -> Result {
        let listener = TcpListener::options()
            .mptcp(true)
            .user_timeout(Delta::from_secs(1));
        assert_eq!(
            listener.bind(&namespace()?, any_port()).err(),
            Some(ENOPROTOOPT)
        );
        Ok(())
    }
}
