// SPDX-License-Identifier: GPL-2.0

//! Names of files in HTML and in references.

/// Hands `text` to `write` in pieces, so that it means itself in the text and the attributes of
/// HTML.
pub fn escape<E>(text: &[u8], mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    for piece in text.split_inclusive(|byte| b"&<>\"'".contains(byte)) {
        let (rest, entity): (&[u8], &[u8]) = match piece {
            [rest @ .., b'&'] => (rest, b"&amp;"),
            [rest @ .., b'<'] => (rest, b"&lt;"),
            [rest @ .., b'>'] => (rest, b"&gt;"),
            [rest @ .., b'"'] => (rest, b"&quot;"),
            [rest @ .., b'\''] => (rest, b"&#39;"),
            _ => (piece, b""),
        };
        write(rest)?;
        write(entity)?;
    }
    Ok(())
}

/// Hands `path` to `write` in pieces, percent-encoded so that it means itself as a path in a
/// reference (RFC 3986).
pub fn encode<E>(path: &[u8], write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/!$()*+,;=@".contains(&byte);
    percent_encode(path, is_plain, write)
}

/// Hands the query of a target to `write` in pieces: as it is, but for what no URI has in it.
pub fn encode_query<E>(query: &[u8], write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte);
    percent_encode(query, is_plain, write)
}

fn percent_encode<E>(
    text: &[u8],
    is_plain: impl Fn(u8) -> bool,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let hex = |digit: u8| b"0123456789ABCDEF"[usize::from(digit & 15)];
    for byte in text {
        if is_plain(*byte) {
            write(core::slice::from_ref(byte))?;
        } else {
            write(&[b'%', hex(byte >> 4), hex(*byte)])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(with: impl Fn(&mut dyn FnMut(&[u8]) -> Result<(), ()>) -> Result<(), ()>) -> String {
        let mut text = Vec::new();
        with(&mut |piece| {
            text.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn escapes() {
        let text = collect(|write| escape(b"<a href=\"x\">R&D's</a>", write));
        assert_eq!(text, "&lt;a href=&quot;x&quot;&gt;R&amp;D&#39;s&lt;/a&gt;");
    }

    #[test]
    fn encodes() {
        let text = collect(|write| encode(b"a b/c%\"<\xc3\xbc>?#:&'\n", write));
        assert_eq!(text, "a%20b/c%25%22%3C%C3%BC%3E%3F%23%3A%26%27%0A");
    }

    #[test]
    fn keeps_queries() {
        let kept = "?a=b&c[]=%20d/e?f:@!$'()*+,;=-._~";
        assert_eq!(collect(|write| encode_query(kept.as_bytes(), write)), kept);
        let text = collect(|write| encode_query(b"?\xc3\xbc\"<>\r\n\\", write));
        assert_eq!(text, "?%C3%BC%22%3C%3E%0D%0A%5C");
    }
}
