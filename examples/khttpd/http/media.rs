// SPDX-License-Identifier: GPL-2.0

//! Media types, by the extension of a file's name.

/// What a file is whose extension says nothing to us.
pub const UNKNOWN: &str = "application/octet-stream";

/// The types of all extensions, a line for each: `html text/html; charset=utf-8`.
///
/// `tools/ktcp/media_types.py` makes it when khttpd is built, of a list that others keep. One text
/// takes half the memory of a table with pointers.
const TYPES: &str = include_str!(env!("KTCP_MEDIA_TYPES"));

/// The length of the longest extension that is looked for.
const LONGEST: usize = 32;

/// The media type of the file at `path`.
pub fn of(path: &[u8]) -> &'static str {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else {
        return UNKNOWN;
    };
    let mut extension = [0; LONGEST];
    let Some(lower) = extension.get_mut(..name.len() - dot - 1) else {
        return UNKNOWN;
    };
    lower.copy_from_slice(&name[dot + 1..]);
    lower.make_ascii_lowercase();
    find(lower).unwrap_or(UNKNOWN)
}

/// Halves the lines, which are sorted, until one is left.
fn find(extension: &[u8]) -> Option<&'static str> {
    let mut lines = TYPES;
    while !lines.is_empty() {
        let middle = lines.as_bytes()[..lines.len() / 2]
            .iter()
            .rposition(|&byte| byte == b'\n');
        let (before, rest) = lines.split_at(middle.map_or(0, |end| end + 1));
        let (line, behind) = rest.split_once('\n')?;
        let (name, media) = line.split_once(' ')?;
        lines = match name.as_bytes().cmp(extension) {
            core::cmp::Ordering::Equal => return Some(media),
            core::cmp::Ordering::Less => behind,
            core::cmp::Ordering::Greater => before,
        };
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn types() {
        for (name, media) in [
            ("a/b.HTML", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.js.map", "application/json"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.log", "text/plain; charset=utf-8"),
            ("a.md", "text/markdown; charset=utf-8"),
            ("a.csv", "text/csv; charset=utf-8"),
            ("a.xml", "application/xml"),
            ("a.wasm", "application/wasm"),
            ("a.pdf", "application/pdf"),
            // Fonts
            ("a.woff", "font/woff"),
            ("a.woff2", "font/woff2"),
            ("a.ttf", "font/ttf"),
            ("a.otf", "font/otf"),
            // Manifests and subtitles
            ("a.webmanifest", "application/manifest+json"),
            ("a.vtt", "text/vtt; charset=utf-8"),
            // Pictures
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.jpg", "image/jpeg"),
            ("a.webp", "image/webp"),
            ("a.avif", "image/avif"),
            ("a.ico", "image/vnd.microsoft.icon"),
            // Sound and video
            ("a.mp3", "audio/mpeg"),
            ("a.m4a", "audio/mp4"),
            ("a.flac", "audio/flac"),
            ("a.opus", "audio/ogg"),
            ("a.weba", "audio/webm"),
            ("a.mp4", "video/mp4"),
            ("a.webm", "video/webm"),
            ("a.ogv", "video/ogg"),
            ("a.mov", "video/quicktime"),
            ("a.ts", "video/mp2t"),
            ("a.m3u8", "application/vnd.apple.mpegurl"),
            ("a.mpd", "application/dash+xml"),
            // Feeds and archives
            ("a.atom", "application/atom+xml"),
            ("a.rss", "application/rss+xml"),
            ("a.zip", "application/zip"),
            ("archive.tar.gz", "application/gzip"),
            ("a.zst", "application/zstd"),
            ("a.epub", "application/epub+zip"),
        ] {
            assert_eq!(of(name.as_bytes()), media, "{name}");
        }
        for unknown in [
            "",
            "png",
            "a.d/png",
            "a.",
            "a.bin",
            "a.verylongextension",
            "a.ht ml",
            "a.html text/html",
            "a.htm\nl",
            ".a\0",
            ".\u{fc}",
            "a.",
            &format!("a.{}", "x".repeat(LONGEST + 1)),
        ] {
            assert_eq!(of(unknown.as_bytes()), UNKNOWN, "{unknown}");
        }
    }

    #[test]
    fn every_extension_is_found() {
        assert!(TYPES.lines().count() > 1000);
        for line in TYPES.lines() {
            let (name, media) = line.split_once(' ').unwrap();
            assert!(name.len() <= LONGEST && media.contains('/'), "{line}");
            assert_eq!(find(name.as_bytes()), Some(media));
            assert_eq!(find(format!("{name}\0").as_bytes()), None);
        }
    }

    /// The longest that there is.
    pub(crate) fn longest() -> &'static str {
        let types = TYPES.lines().filter_map(|line| line.split_once(' '));
        types
            .map(|(_, media)| media)
            .max_by_key(|media| media.len())
            .unwrap()
    }
}
