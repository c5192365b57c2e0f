// SPDX-License-Identifier: GPL-2.0

//! Media types, by the extension of a file's name.

/// What a file is whose extension says nothing to us.
const UNKNOWN: &str = "application/octet-stream";

/// The media type of the file at `path`.
pub fn of(path: &[u8]) -> &'static str {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else {
        return UNKNOWN;
    };
    let mut extension = [0; 8];
    let Some(lower) = extension.get_mut(..name.len() - dot - 1) else {
        return UNKNOWN;
    };
    lower.copy_from_slice(&name[dot + 1..]);
    lower.make_ascii_lowercase();
    match &*lower {
        b"html" | b"htm" => "text/html; charset=utf-8",
        b"css" => "text/css; charset=utf-8",
        b"js" | b"mjs" => "text/javascript; charset=utf-8",
        b"json" | b"map" => "application/json",
        b"txt" | b"log" | b"md" | b"rst" => "text/plain; charset=utf-8",
        b"csv" => "text/csv; charset=utf-8",
        b"xml" => "application/xml",
        b"svg" => "image/svg+xml",
        b"png" => "image/png",
        b"jpg" | b"jpeg" => "image/jpeg",
        b"gif" => "image/gif",
        b"webp" => "image/webp",
        b"avif" => "image/avif",
        b"ico" => "image/vnd.microsoft.icon",
        b"woff" => "font/woff",
        b"woff2" => "font/woff2",
        b"ttf" => "font/ttf",
        b"mp3" => "audio/mpeg",
        b"ogg" => "audio/ogg",
        b"mp4" => "video/mp4",
        b"webm" => "video/webm",
        b"pdf" => "application/pdf",
        b"wasm" => "application/wasm",
        b"zip" => "application/zip",
        b"gz" => "application/gzip",
        b"xz" => "application/x-xz",
        b"tar" => "application/x-tar",
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        assert_eq!(of(b"a/b.HTML"), "text/html; charset=utf-8");
        assert_eq!(of(b"archive.tar.gz"), "application/gzip");
        for unknown in ["", "png", "a.d/png", "a.", "a.verylongextension", ".a\0"] {
            assert_eq!(of(unknown.as_bytes()), UNKNOWN);
        }
    }
}
