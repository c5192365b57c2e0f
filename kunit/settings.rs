// SPDX-License-Identifier: GPL-2.0

//! Options of sockets that the library has no use for itself, as the kernel has them in the end.

use kernel::prelude::*;

#[kunit_tests(ktcp_settings)]
mod tests {
    use super::*;
    use crate::support::{
        any_port,
        connect,
        namespace, //
    };
    use core::net::{
        Ipv4Addr,
        Ipv6Addr,
        SocketAddr, //
    };
    use kernel::{
        error::to_result,
        time::Delta, //
    };
    use ktcp_server::net::{
        CongestionControl,
        ListenOptions,
        ScopedAddr,
        SocketOption,
        TcpListener,
        TcpStream, //
    };

    const V6: SocketAddr = SocketAddr::new(core::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

    /// `struct ktcp_kunit_settings` of `kunit.h`.
    #[repr(C)]
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Settings {
        max_pacing_rate: u64,
        mark: u32,
        priority: u32,
        notsent_lowat: u32,
        max_segment: u32,
        backlog: u32,
        fast_open: u32,
        incoming_cpu: i32,
        tos: u8,
        min_ttl: u8,
        tclass: u8,
        min_hopcount: u8,
        defer_accept: u8,
        freebind: u8,
        transparent: u8,
        reno: u8,
    }

    extern "C" {
        fn ktcp_kunit_socket_settings(port: u16, peer: u16, v6: bool, is: *mut Settings) -> c_int;
        fn ktcp_kunit_set_somaxconn(connections: c_int) -> c_int;
    }

    fn settings(here: SocketAddr, peer: Option<SocketAddr>) -> Result<Settings> {
        let mut is = Settings::default();
        let peer = peer.map_or(0, |peer| peer.port());
        // SAFETY: `is` is valid for a write.
        to_result(unsafe {
            ktcp_kunit_socket_settings(here.port(), peer, here.is_ipv6(), &raw mut is)
        })?;
        Ok(is)
    }

    /// Settings of a listener, and of a connection that it has accepted.
    fn of_both(options: ListenOptions, addr: SocketAddr) -> Result<[Settings; 2]> {
        let listener = options.bind(&namespace()?, addr)?;
        let addr = listener.local_addr()?;
        let client = connect(addr)?;
        // For one that waits for the first bytes
        client.write_all(b"?")?;
        let (_server, peer) = listener.accept()?;
        Ok([settings(addr, None)?, settings(addr, Some(peer))?])
    }

    /// Why nothing listens with these options.
    fn refusal(options: ListenOptions) -> Result<Option<Error>> {
        Ok(options.bind(&namespace()?, any_port()).err())
    }

    fn all() -> Result<ListenOptions> {
        Ok(TcpListener::options()
            .mark(0x8000_0001)
            .dscp(46)
            .priority(5)
            .congestion_control(CongestionControl::new(c"reno")?)
            .notsent_lowat(16_384)
            .max_segment(1000)
            .min_ttl(64)
            .max_pacing_rate(5_000_000_000)
            .freebind(true)
            .transparent(true))
    }

    #[test]
    fn accepted_connections_have_the_settings_of_their_listener() -> Result {
        for addr in [any_port(), V6] {
            for is in of_both(all()?, addr)? {
                assert_eq!(is.mark, 0x8000_0001);
                assert_eq!(is.tos, 46 << 2);
                assert_eq!(is.priority, 5);
                assert_eq!(is.reno, 1);
                assert_eq!(is.notsent_lowat, 16_384);
                assert_eq!(is.max_segment, 1000);
                assert_eq!(is.min_ttl, 64);
                assert_eq!(is.max_pacing_rate, 5_000_000_000);
                assert_eq!(is.freebind, 1);
                assert_eq!(is.transparent, 1);
                let (tclass, hopcount) = if addr.is_ipv6() {
                    (46 << 2, 64)
                } else {
                    (0, 0)
                };
                assert_eq!(is.tclass, tclass);
                assert_eq!(is.min_hopcount, hopcount);
            }
        }
        Ok(())
    }

    #[test]
    fn what_is_not_set_is_as_the_kernel_has_it() -> Result {
        for is in of_both(TcpListener::options(), any_port())? {
            assert_eq!(is.mark, 0);
            assert_eq!(is.tos, 0);
            assert_eq!(is.priority, 0);
            assert_eq!(is.reno, 0);
            assert_eq!(is.max_segment, 0);
            assert_eq!(is.min_ttl, 0);
            assert_eq!(is.max_pacing_rate, u64::MAX);
            assert_eq!(is.freebind, 0);
            assert_eq!(is.transparent, 0);
            assert_eq!(is.defer_accept, 0);
            assert_eq!(is.fast_open, 0);
        }
        Ok(())
    }

    #[test]
    fn listeners_have_settings_of_their_own() -> Result {
        let options = TcpListener::options()
            .backlog(77)
            .fast_open(9)
            .defer_accept(3)
            .incoming_cpu(0);
        let [is, _] = of_both(options, any_port())?;
        assert_eq!(is.backlog, 77);
        assert_eq!(is.fast_open, 9);
        // Retransmissions within 3 s
        assert_eq!(is.defer_accept, 2);
        assert_eq!(is.incoming_cpu, 0);
        Ok(())
    }

    #[test]
    fn clients_have_their_settings() -> Result {
        let listener = TcpListener::bind(&namespace()?, any_port())?;
        let addr = listener.local_addr()?;
        let client = TcpStream::options()
            .mark(7)
            .dscp(10)
            .priority(3)
            .max_segment(900)
            .congestion_control(CongestionControl::new(c"reno")?)
            .connect(&namespace()?, addr)?;
        let is = settings(client.local_addr()?, Some(addr))?;
        assert_eq!((is.mark, is.tos, is.priority), (7, 10 << 2, 3));
        assert_eq!((is.max_segment, is.reno), (900, 1));
        Ok(())
    }

    #[test]
    fn settings_out_of_range_are_refused() -> Result {
        for options in [
            TcpListener::options().dscp(64),
            TcpListener::options().notsent_lowat(0),
            TcpListener::options().notsent_lowat(1 << 31),
            TcpListener::options().max_segment(87),
            TcpListener::options().max_segment(32768),
            TcpListener::options().min_ttl(0),
            TcpListener::options().max_pacing_rate(0),
            TcpListener::options().max_pacing_rate(u64::MAX),
            TcpListener::options().fast_open(0),
            TcpListener::options().defer_accept(0),
            TcpListener::options().defer_accept(32768),
            TcpListener::options().incoming_cpu(1 << 31),
        ] {
            assert_eq!(refusal(options)?, Some(EINVAL));
        }
        let nothing = CongestionControl::new(c"nothing")?;
        let options = TcpListener::options().congestion_control(nothing);
        assert_eq!(refusal(options)?, Some(ENOENT));
        for name in [c"", c"sixteen-bytes-is", c"a b", c"a/b"] {
            assert_eq!(CongestionControl::new(name), Err(EINVAL));
        }
        Ok(())
    }

    #[test]
    fn options_by_number_are_set_if_they_are_harmless() -> Result {
        // SOL_IP, IP_TOS; SOL_TCP, TCP_MAXSEG; SOL_SOCKET, SO_MARK
        let options = TcpListener::options()
            .socket_option(SocketOption::new(0, 1, 0x20))
            .socket_option(SocketOption::new(6, 2, 800))
            .socket_option(SocketOption::new(1, 36, 11));
        for is in of_both(options, any_port())? {
            assert_eq!((is.tos, is.max_segment, is.mark), (0x20, 800, 11));
        }
        // One out of the range of the kernel
        let options = TcpListener::options().socket_option(SocketOption::new(6, 2, 1));
        assert_eq!(refusal(options)?, Some(EINVAL));
        Ok(())
    }

    #[test]
    fn options_that_would_change_what_a_socket_is_are_refused() -> Result {
        for (level, name) in [
            (1, 2),   // SO_REUSEADDR, which the library sets
            (1, 13),  // SO_LINGER
            (1, 18),  // SO_RCVLOWAT
            (1, 20),  // SO_RCVTIMEO
            (1, 26),  // SO_ATTACH_FILTER
            (1, 50),  // SO_ATTACH_BPF
            (6, 3),   // TCP_CORK
            (6, 19),  // TCP_REPAIR
            (6, 31),  // TCP_ULP
            (6, 35),  // TCP_ZEROCOPY_RECEIVE
            (41, 1),  // IPV6_ADDRFORM
            (41, 26), // IPV6_V6ONLY
            (0, 4),   // IP_OPTIONS
            (0, 41),  // MCAST_JOIN_GROUP
            (17, 1),  // SOL_UDP
            (255, 1),
            (u32::MAX, u32::MAX),
        ] {
            let options = TcpListener::options().socket_option(SocketOption::new(level, name, 1));
            assert_eq!(refusal(options)?, Some(ENOPROTOOPT));
        }
        let many = |count| {
            let options = TcpListener::options();
            (0..count).fold(options, |options, _| {
                options.socket_option(SocketOption::new(1, 36, 1))
            })
        };
        assert_eq!(refusal(many(8))?, None);
        assert_eq!(refusal(many(9))?, Some(EINVAL));
        Ok(())
    }

    #[test]
    fn a_backlog_is_no_longer_than_the_machine_allows() -> Result {
        // SAFETY: May be called in any context.
        let before = unsafe { ktcp_kunit_set_somaxconn(5) };
        let short = of_both(TcpListener::options().backlog(128), any_port());
        // SAFETY: As above.
        unsafe { ktcp_kunit_set_somaxconn(before) };
        assert_eq!(short?[0].backlog, 5);
        let usual = of_both(TcpListener::options().backlog(128), any_port())?;
        assert_eq!(usual[0].backlog, 128);
        Ok(())
    }

    #[test]
    fn a_listener_can_wait_for_its_address() -> Result {
        let elsewhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
        let options = TcpListener::options();
        assert!(options.clone().bind(&namespace()?, elsewhere).is_err());
        let listener = options.freebind(true).bind(&namespace()?, elsewhere)?;
        assert_eq!(listener.local_addr()?.ip(), elsewhere.ip());
        Ok(())
    }

    #[test]
    fn packets_from_far_away_are_not_heard() -> Result {
        let listener = TcpListener::options()
            .min_ttl(255)
            .bind(&namespace()?, any_port())?;
        let client = TcpStream::options().timeout(Delta::from_millis(300));
        let end = client.connect(&namespace()?, listener.local_addr()?);
        assert_eq!(end.err(), Some(ETIMEDOUT));
        Ok(())
    }

    #[test]
    fn addresses_of_a_link_are_understood_with_it() -> Result {
        for text in [
            "127.0.0.1",
            "::1",
            "fe80::1",
            "fe80::1%eth0",
            "febf::1%2",
            "fe80::1%l",
        ] {
            let addr: ScopedAddr = text.parse()?;
            let ip = text.split('%').next().and_then(|ip| ip.parse().ok());
            assert_eq!(Some(addr.ip()), ip);
        }
        for text in [
            "",
            "%eth0",
            "fe80::1%",
            "fe80::1%0",
            "fe80::1%2147483648",
            "fe80::1%99999999999",
            "fe80::1%sixteen-bytes-is",
            "fe80::1%a/b",
            "fe80::1%a b",
            "fe80::1%eth0%eth0",
            "127.0.0.1%lo",
            "::1%lo",
            "fec0::1%eth0",
            "[fe80::1%eth0]",
            "fe80::1%eth0\0",
        ] {
            assert_eq!(text.parse::<ScopedAddr>(), Err(EINVAL));
        }
        Ok(())
    }
}
