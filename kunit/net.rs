// SPDX-License-Identifier: GPL-2.0

//! Sockets without a server.

use kernel::prelude::*;

#[kunit_tests(ktcp_net)]
mod tests {
    use super::*;
    use crate::{
        support::{
            any_port,
            connect,
            namespace,
            pattern,
            Stopwatch, //
        },
        THIS_MODULE, //
    };
    use core::net::{
        Ipv4Addr,
        Ipv6Addr,
        SocketAddr, //
    };
    use kernel::{
        sync::Arc,
        time::Delta, //
    };
    use ktcp_server::{
        kthread,
        net::{
            Shutdown,
            TcpListener,
            TcpStream, //
        }, //
    };

    /// A listener and both ends of a connection to it.
    fn pair() -> Result<(TcpListener, TcpStream, TcpStream)> {
        let listener = TcpListener::bind(&namespace()?, any_port())?;
        let client = connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        Ok((listener, client, server))
    }

    #[test]
    fn addresses_of_both_ends_match() -> Result {
        let (listener, client, server) = pair()?;
        assert_eq!(client.peer_addr()?, listener.local_addr()?);
        assert_eq!(client.local_addr()?, server.peer_addr()?);
        assert!(listener.local_addr()?.port() != 0);
        Ok(())
    }

    #[test]
    fn ipv6_addresses_survive_the_way_through_c() -> Result {
        let any = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(&namespace()?, any)?;
        let addr = listener.local_addr()?;
        assert_eq!(addr.ip(), Ipv6Addr::LOCALHOST);

        let client = connect(addr)?;
        let (server, peer) = listener.accept()?;
        assert_eq!(peer, client.local_addr()?);
        client.write_all(b"six")?;
        let mut word = [0; 3];
        server.read_exact(&mut word)?;
        assert_eq!(&word, b"six");
        Ok(())
    }

    #[test]
    fn reading_leaves_the_rest_of_the_buffer_alone() -> Result {
        let (_listener, client, server) = pair()?;
        client.write_all(b"ab\0")?;
        let mut buffer = [0xa5; 8];
        assert_eq!(server.read(&mut buffer)?, 3);
        assert_eq!(&buffer, b"ab\0\xa5\xa5\xa5\xa5\xa5");
        Ok(())
    }

    #[test]
    fn empty_slices_move_nothing() -> Result {
        let (_listener, client, server) = pair()?;
        client.write_all(&[])?;
        assert_eq!(client.write(&[])?, 0);
        assert_eq!(server.read(&mut [])?, 0);
        assert_eq!(server.try_read(&mut [0; 4]), Err(EAGAIN));
        Ok(())
    }

    #[test]
    fn half_close_ends_one_direction() -> Result {
        let (_listener, client, server) = pair()?;
        client.write_all(b"last")?;
        client.shutdown(Shutdown::Write)?;
        assert_eq!(client.write(b"x"), Err(EPIPE));

        let mut word = [0; 8];
        assert_eq!(server.read(&mut word)?, 4);
        assert_eq!(server.read(&mut word)?, 0);
        server.write_all(b"reply")?;
        assert_eq!(client.read(&mut word)?, 5);
        Ok(())
    }

    #[test]
    fn read_exact_reports_an_early_end() -> Result {
        let (_listener, client, server) = pair()?;
        client.write_all(b"abc")?;
        client.shutdown(Shutdown::Write)?;
        assert_eq!(server.read_exact(&mut [0; 4]), Err(EPIPE));
        Ok(())
    }

    #[test]
    fn abort_resets() -> Result {
        let (_listener, client, server) = pair()?;
        server.abort();
        assert_eq!(client.read(&mut [0; 4]), Err(ECONNRESET));
        Ok(())
    }

    #[test]
    fn nonblocking_calls_do_not_wait() -> Result {
        let (listener, client, _server) = pair()?;
        assert_eq!(client.try_read(&mut [0; 4]), Err(EAGAIN));
        assert_eq!(listener.try_accept().err(), Some(EAGAIN));

        // The peer does not read: the buffers fill up.
        let block = pattern(64 << 10)?;
        let mut sent = 0;
        while sent < 256 << 20 {
            match client.try_write(&block) {
                Ok(count) => sent += count,
                Err(error) => {
                    assert_eq!(error, EAGAIN);
                    return Ok(());
                }
            }
        }
        Err(E2BIG)
    }

    #[test]
    fn read_timeout_is_kept() -> Result {
        let (_listener, client, _server) = pair()?;
        client.set_read_timeout(Some(Delta::from_millis(50)))?;
        let watch = Stopwatch::start();
        assert_eq!(client.read(&mut [0; 4]), Err(ETIMEDOUT));
        assert!(watch.has_run(50));
        assert_eq!(client.set_read_timeout(Some(Delta::ZERO)), Err(EINVAL));
        assert_eq!(
            client.set_write_timeout(Some(Delta::from_millis(-1))),
            Err(EINVAL)
        );
        Ok(())
    }

    #[test]
    fn write_timeout_is_kept() -> Result {
        let (_listener, client, server) = pair()?;
        let timeout = Delta::from_millis(50);
        client.set_write_timeout(Some(timeout))?;
        // Ends a write that ignores its timeout, so that the test fails instead of hanging.
        let client = Arc::new(client, GFP_KERNEL)?;
        let guard = kthread::spawn(&THIS_MODULE, c"ktcp-guard", {
            let client = client.clone();
            move |stop| stop.wait(Delta::from_secs(60)) || client.shutdown(Shutdown::Both).is_err()
        })?;
        let data = pattern(64 << 10)?;
        // The peer does not read. A write that finds some room sends a part.
        let mut sent = 0;
        loop {
            let watch = Stopwatch::start();
            match client.write(&data[sent % data.len()..]) {
                Ok(0) => return Err(EIO),
                Ok(count) => sent += count,
                Err(error) => {
                    assert_eq!(error, ETIMEDOUT);
                    assert!(watch.has_run(50));
                    break;
                }
            }
            if sent > 256 << 20 {
                return Err(E2BIG);
            }
        }

        // All bytes that were reported as sent arrive in order; then writing works again.
        let mut block = KVVec::from_elem(0, data.len(), GFP_KERNEL)?;
        let mut received = 0;
        while received < sent {
            let expected = &data[received % data.len()..];
            let count = server.read(&mut block[..expected.len()])?;
            assert!(count > 0);
            assert!(block[..count] == expected[..count]);
            received += count;
        }
        assert_eq!(received, sent);
        client.write_all(b"there is room again")?;
        let mut rest = [0; 19];
        server.read_exact(&mut rest)?;
        assert_eq!(&rest, b"there is room again");

        // `write_all` of more than fits times out, too.
        let mut result = Ok(());
        for _ in 0..(256 << 20) / data.len() {
            result = result.and_then(|()| client.write_all(&data));
        }
        assert_eq!(result, Err(ETIMEDOUT));
        drop(guard);
        Ok(())
    }

    #[test]
    fn listener_shutdown_ends_accept_and_frees_the_address() -> Result {
        let (listener, client, _server) = pair()?;
        let addr = listener.local_addr()?;
        let taken = TcpListener::bind(&namespace()?, addr);
        assert_eq!(taken.err(), Some(EADDRINUSE));

        listener.shutdown();
        assert_eq!(listener.accept().err(), Some(EINVAL));
        // The open connection does not keep the address busy.
        let _again = TcpListener::bind(&namespace()?, addr)?;
        client.shutdown(Shutdown::Both)?;
        Ok(())
    }

    #[test]
    fn errors_name_what_is_wrong() -> Result {
        let elsewhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
        let bound = TcpListener::bind(&namespace()?, elsewhere);
        assert_eq!(bound.err(), Some(EADDRNOTAVAIL));

        let listener = TcpListener::bind(&namespace()?, any_port())?;
        let addr = listener.local_addr()?;
        drop(listener);
        assert_eq!(connect(addr).err(), Some(ECONNREFUSED));
        Ok(())
    }

    #[test]
    fn a_megabyte_arrives_unchanged() -> Result {
        let (_listener, client, server) = pair()?;
        let data = pattern(1 << 20)?;
        let mut received = KVVec::with_capacity(data.len(), GFP_KERNEL)?;
        let mut sent = 0;
        let mut chunk = [0; 1000];
        while received.len() < data.len() {
            if let Ok(count) = client.try_write(&data[sent..]) {
                sent += count;
            }
            let count = server.read(&mut chunk)?;
            received.extend_from_slice(&chunk[..count], GFP_KERNEL)?;
        }
        assert!(received[..] == data[..]);
        Ok(())
    }
}
