// SPDX-License-Identifier: GPL-2.0

//! The host and the port in a request (RFC 9110, section 7.2): `uri-host [":" port]`, as RFC 3986
//! has it.

use core::net::Ipv6Addr;

/// Returns true for a host with or without a port. User information is an error, as RFC 9110,
/// section 4.2.4 wants it.
pub fn is_authority(text: &[u8]) -> bool {
    let (host_is_valid, rest) = match text {
        [b'[', literal @ ..] => {
            let Some(end) = literal.iter().position(|&byte| byte == b']') else {
                return false;
            };
            (is_ip_literal(&literal[..end]), &literal[end + 1..])
        }
        _ => {
            let colon = text.iter().position(|&byte| byte == b':');
            let (name, rest) = text.split_at(colon.unwrap_or(text.len()));
            // The schemes of HTTP have no empty names.
            (!name.is_empty() && is_registered_name(name), rest)
        }
    };
    let port_is_valid = match rest {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    host_is_valid && port_is_valid
}

/// Returns true for the text between brackets: `IPv6address` or `IPvFuture`.
fn is_ip_literal(text: &[u8]) -> bool {
    match text {
        [b'v' | b'V', future @ ..] => {
            let mut parts = future.splitn(2, |&byte| byte == b'.');
            let (version, address) = (parts.next(), parts.next());
            version.is_some_and(|text| !text.is_empty() && text.iter().all(u8::is_ascii_hexdigit))
                && address.is_some_and(|text| {
                    !text.is_empty() && text.iter().all(|&byte| is_plain(byte) || byte == b':')
                })
        }
        _ => core::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
    }
}

/// Returns true for a `reg-name`, which an IPv4 address is, too.
fn is_registered_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = match (byte, behind) {
            (b'%', [high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                behind
            }
            _ if is_plain(byte) => behind,
            _ => return false,
        };
    }
    true
}

/// Returns true for `unreserved` and `sub-delims`.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid() {
        for text in [
            "h",
            "h:80",
            "h:",
            "example.org:8080",
            "under_score",
            "127.0.0.1:80",
            "999.0.0.1",
            "%7Eh",
            "a!$&'()*+,;=~b",
            "[::1]",
            "[::1]:80",
            "[::1]:",
            "[2001:DB8::1]",
            "[::ffff:127.0.0.1]:8080",
            "[v1.a:b]",
            "[vF.~]:80",
        ] {
            assert!(is_authority(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn invalid() {
        for text in [
            "",
            ":80",
            "h:80:80",
            "h:port",
            "h:-1",
            "h: 80",
            "h:80 ",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[:]",
            "[1]",
            "[::1]80",
            "[::1]:x",
            "[::1]:80:80",
            "[::1]]",
            "[[::1]]",
            "[::1%25eth0]",
            "[::g]",
            "[1:2:3:4:5:6:7:8:9]",
            "[127.0.0.1]",
            "[v.a]",
            "[v1.]",
            "[v1]",
            "[vg.a]",
            "h%zz",
            "h%",
            "h%4",
            "u@h",
            "u:p@h",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a\"b",
            "<a>",
            "a|b",
            "\u{fc}",
        ] {
            assert!(!is_authority(text.as_bytes()), "{text}");
        }
    }
}
