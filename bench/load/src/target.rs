// SPDX-License-Identifier: GPL-2.0

//! `--connect HOST:PORT`: its parts, the addresses of the host, and the Host field.

use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    str::FromStr,
};

/// A host and a port, as `uri-host ":" port` of RFC 3986, 3.2.2; an IPv6 address may have a zone
/// (RFC 4007, 11).
///
/// Its `Display` is the value of a Host field (RFC 9110, 7.2). A zone has a meaning on this machine
/// only, so it is not part of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// A name, or an IPv4 address.
    Name(String),
    V6 {
        address: Ipv6Addr,
        zone: Option<String>,
    },
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inner, port) = rest
                    .split_once("]:")
                    .ok_or("must be HOST:PORT, or [ADDRESS]:PORT with IPv6")?;
                (Host::v6(inner)?, port)
            }
            None => {
                let (host, port) = text.rsplit_once(':').ok_or("must be HOST:PORT")?;
                if host.contains(':') {
                    return Err("an IPv6 address stands in brackets: [::1]:80".into());
                }
                (Host::name(host)?, port)
            }
        };
        // A number that is parsed may have a sign.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port @ 1..) if digits => Ok(Self { host, port }),
            _ => Err(format!("the port `{port}` is not one of 1 to 65535")),
        }
    }
}

impl Host {
    fn name(text: &str) -> Result<Self, String> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_name) {
            return Err(format!(
                "`{text}` is no name of a host: letters of ASCII, digits, `-`, `.` and `_`"
            ));
        }
        Ok(Self::Name(text.to_owned()))
    }

    fn v6(text: &str) -> Result<Self, String> {
        let (address, zone) = match text.split_once('%') {
            Some((_, "")) => return Err("the zone behind `%` is empty".into()),
            Some((address, zone)) => (address, Some(zone.to_owned())),
            None => (text, None),
        };
        let address: Ipv6Addr = address
            .parse()
            .map_err(|_| format!("`{address}` is no IPv6 address"))?;
        match (&zone, address.is_unicast_link_local()) {
            (None, true) => Err(format!(
                "a link-local address needs the interface: [{address}%eth0]"
            )),
            (Some(_), false) => Err("only a link-local address has a zone".into()),
            _ => Ok(Self::V6 { address, zone }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::V6 { address, .. } => write!(f, "[{address}]:{}", self.port),
        }
    }
}

impl Target {
    /// Returns the addresses of the host, in the order in which they are to be tried, without
    /// duplicates. IPv4-mapped ones are those of IPv4.
    ///
    /// # Errors
    ///
    /// The name is not known, or there is no interface of the zone's name.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let host = match &self.host {
            Host::Name(name) => name.clone(),
            Host::V6 {
                address,
                zone: None,
            } => address.to_string(),
            // The resolver knows the interfaces.
            Host::V6 {
                address,
                zone: Some(zone),
            } => format!("{address}%{zone}"),
        };
        let mut addresses = Vec::new();
        for mut address in (host.as_str(), self.port).to_socket_addrs()? {
            if let canonical @ IpAddr::V4(_) = address.ip().to_canonical() {
                address.set_ip(canonical);
            }
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(io::Error::other("the name has no address"));
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn host_field_has_host_and_port_without_zone() {
        for (text, field) in [
            ("example.org:80", "example.org:80"),
            ("localhost:1", "localhost:1"),
            ("127.0.0.1:65535", "127.0.0.1:65535"),
            ("[::1]:080", "[::1]:80"),
            ("[0:0::1]:80", "[::1]:80"),
            ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80"),
            ("[fe80::1%eth0]:80", "[fe80::1]:80"),
            ("[fe80::1%3]:80", "[fe80::1]:80"),
        ] {
            assert_eq!(target(text).to_string(), field, "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_host_and_port_are_refused() {
        for text in [
            "",
            ":",
            ":80",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:99999999999999999999",
            "localhost:-1",
            "localhost:+80",
            "localhost:http",
            "local host:80",
            "local\r\nhost:80",
            "user@localhost:80",
            "http://localhost:80",
            "b\u{fc}cher.example:80",
            "::1:80",
            "fe80::1%eth0:80",
            "[::1]",
            "[::1]80",
            "[::1:80",
            "[localhost]:80",
            "[127.0.0.1]:80",
            "[fe80::1]:80",
            "[fe80::1%]:80",
            "[::1%lo]:80",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn zone_becomes_the_scope_of_the_address() {
        let index: u32 = std::fs::read_to_string("/sys/class/net/lo/ifindex")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(1);
        for zone in ["lo".to_owned(), index.to_string()] {
            let found = target(&format!("[fe80::1%{zone}]:80")).addresses();
            let [SocketAddr::V6(address)] = found.as_deref().expect("an interface") else {
                panic!("{found:?}");
            };
            assert_eq!((address.scope_id(), address.port()), (index, 80));
        }
        assert!(target("[fe80::1%no-such-zone]:80").addresses().is_err());
    }

    #[test]
    fn mapped_addresses_are_those_of_ipv4() {
        let found = target("[::ffff:127.0.0.1]:80").addresses();
        assert_eq!(
            found.expect("an address"),
            ["127.0.0.1:80".parse().expect("one")]
        );
    }

    #[test]
    fn names_that_are_not_known_are_an_error() {
        assert!(target("no-such-host.invalid:80").addresses().is_err());
    }
}
