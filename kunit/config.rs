// SPDX-License-Identifier: GPL-2.0

//! Settings that a builder takes, and settings that it refuses.

use kernel::prelude::*;

#[kunit_tests(ktcp_config)]
mod tests {
    use super::*;
    use crate::{
        probe::{
            builder,
            start, //
        },
        support::{
            any_port,
            connect,
            exchange,
            namespace, //
        }, //
    };
    use core::net::{
        Ipv4Addr,
        Ipv6Addr,
        SocketAddr, //
    };
    use kernel::time::Delta;
    use ktcp_server::{
        error::{
            EADDRINUSE,
            EADDRNOTAVAIL,
            ECONNREFUSED, //
        },
        net::{
            Device,
            Keepalive,
            TcpStream, //
        },
        BufferSize,
        Builder,
        Executor, //
    };

    fn event_loop() -> Builder {
        builder(Executor::EventLoop)
    }

    /// Returns the error with which the server does not start.
    fn refusal(builder: Builder) -> Option<Error> {
        start(builder).err()
    }

    #[test]
    fn buffer_sizes_are_checked() {
        assert!(BufferSize::new(0) == Err(EINVAL));
        assert!(BufferSize::new((16 << 20) + 1) == Err(EINVAL));
        assert!(BufferSize::new(usize::MAX) == Err(EINVAL));
        assert!(BufferSize::new(1) == Ok(BufferSize::MIN));
        assert!(BufferSize::new(16 << 20) == Ok(BufferSize::MAX));
    }

    #[test]
    fn limits_out_of_range_are_refused() -> Result {
        for connections in [0, (1 << 24) + 1, u32::MAX] {
            let builder = || event_loop();
            assert_eq!(
                refusal(builder().max_connections(connections)),
                Some(EINVAL)
            );
            assert_eq!(refusal(builder().max_per_peer(connections)), Some(EINVAL));
        }
        for connections in [1, 1 << 24] {
            let builder = event_loop();
            start(
                builder
                    .max_connections(connections)
                    .max_per_peer(connections),
            )?;
        }
        Ok(())
    }

    #[test]
    fn prefixes_out_of_range_are_refused() -> Result {
        for bits in [0, 33, u8::MAX] {
            assert_eq!(refusal(event_loop().peer_prefix_v4(bits)), Some(EINVAL));
        }
        for bits in [0, 129, u8::MAX] {
            assert_eq!(refusal(event_loop().peer_prefix_v6(bits)), Some(EINVAL));
        }
        for (v4, v6) in [(1, 1), (32, 128)] {
            start(event_loop().peer_prefix_v4(v4).peer_prefix_v6(v6))?;
        }
        Ok(())
    }

    #[test]
    fn times_out_of_range_are_refused() -> Result {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        for millis in [-1, 0, DAY + 1] {
            let time = Delta::from_millis(millis);
            assert_eq!(refusal(event_loop().idle_timeout(time)), Some(EINVAL));
            assert_eq!(refusal(event_loop().receive_timeout(time)), Some(EINVAL));
            assert_eq!(refusal(event_loop().send_timeout(time)), Some(EINVAL));
        }
        for millis in [-1, DAY + 1] {
            let time = Delta::from_millis(millis);
            assert_eq!(refusal(event_loop().drain(time)), Some(EINVAL));
        }
        for millis in [1, DAY] {
            let time = Delta::from_millis(millis);
            start(
                event_loop()
                    .idle_timeout(time)
                    .receive_timeout(time)
                    .send_timeout(time)
                    .drain(time),
            )?;
        }
        start(event_loop().drain(Delta::ZERO))?;
        Ok(())
    }

    #[test]
    fn sizes_for_the_socket_out_of_range_are_refused() {
        for bytes in [0, 1 << 30, u32::MAX] {
            assert_eq!(refusal(event_loop().send_buffer_size(bytes)), Some(EINVAL));
            assert_eq!(
                refusal(event_loop().receive_buffer_size(bytes)),
                Some(EINVAL)
            );
        }
    }

    #[test]
    fn addresses_that_cannot_be_had_are_refused() {
        let elsewhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
        assert_eq!(refusal(event_loop().listen(elsewhere)), Some(EADDRNOTAVAIL));
        assert_eq!(refusal(event_loop().only_v6(true)), Some(EINVAL));
    }

    #[test]
    fn servers_that_want_it_share_a_port() -> Result {
        let (one, _, addr) = start(event_loop().reuse_port(true))?;
        let (other, _, _) = start(event_loop().listen(addr).reuse_port(true))?;
        assert_eq!(refusal(event_loop().listen(addr)), Some(EADDRINUSE));
        for _ in 0..64 {
            exchange(&connect(addr)?, b"hello")?;
        }
        let (first, second) = (one.statistics().accepted, other.statistics().accepted);
        assert_eq!(first + second, 64);
        assert!(first > 0);
        assert!(second > 0);
        drop(one);
        exchange(&connect(addr)?, b"hello")?;
        Ok(())
    }

    #[test]
    fn a_server_for_v6_alone_refuses_v4() -> Result {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let (_server, _, addr) = start(event_loop().listen(any).only_v6(true))?;
        let four = SocketAddr::from((Ipv4Addr::LOCALHOST, addr.port()));
        assert_eq!(connect(four).err(), Some(ECONNREFUSED));
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, addr.port()));
        exchange(&connect(six)?, b"hello")?;
        Ok(())
    }

    #[test]
    fn a_server_takes_what_sockets_have() -> Result {
        let (_server, _, addr) = start(
            event_loop()
                .listen(any_port())
                .namespace(namespace()?)
                .device(Device::new(c"lo")?)
                .keepalive(Keepalive::new(60, 5, 3)?)
                .send_buffer_size(20_000)
                .receive_buffer_size(20_000)
                .mptcp(true),
        )?;
        for mptcp in [false, true] {
            let client = TcpStream::options()
                .mptcp(mptcp)
                .connect(&namespace()?, addr)?;
            client.set_read_timeout(Some(Delta::from_secs(10)))?;
            exchange(&client, b"hello")?;
        }
        let nowhere = event_loop().device(Device::new(c"nowhere0")?);
        assert_eq!(refusal(nowhere), Some(ENODEV));
        Ok(())
    }
}
