# SPDX-License-Identifier: GPL-2.0
"""Makes the table of media types for khttpd of a file as Debian's /etc/mime.types (package media-types).

A line of the table is the extension of a name, a space, and the value of Content-Type; the lines are
sorted by their bytes, so that an extension is found by halving.

Run by Kbuild, and by cargo for the tests on the host, as `python3 media_types.py FILE`, which writes
the table to its standard output; no other module of this package is needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

# What the list lacks, or has for another kind of file than those that web servers have.
OWN = {
    # Logs and source maps are read in browsers.
    "log": "text/plain",
    "map": "application/json",
    # Pieces of a video (HLS), and not translations of Qt
    "ts": "video/mp2t",
    # As every reader of feeds knows it
    "rss": "application/rss+xml",
    "weba": "audio/webm",
}


def _is_registered(media: str) -> bool:
    """Returns true for a type that IANA may have registered."""
    kind, _, subtype = media.partition("/")
    return kind != "chemical" and not subtype.startswith("x-")


def read(text: str) -> dict[str, str]:
    """The type of each extension: one that IANA may know before others, and then the first."""
    types: dict[str, str] = {}
    for line in text.splitlines():
        media, *extensions = line.partition("#")[0].split() or [""]
        for extension in map(str.lower, extensions):
            # Only what stands behind the last dot of a name is looked at.
            if "." in extension or not extension.isascii():
                continue
            known = types.setdefault(extension, media)
            if _is_registered(media) and not _is_registered(known):
                types[extension] = media
    return {**types, **OWN}


def table(types: dict[str, str]) -> str:
    """The lines of the table."""

    def value(media: str) -> str:
        return f"{media}; charset=utf-8" if media.startswith("text/") else media

    lines = [(extension.encode(), value(media)) for extension, media in types.items()]
    return "".join(f"{extension.decode()} {media}\n" for extension, media in sorted(lines))


def main(source: Path) -> None:
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        sys.exit(
            f"{source}: {error.strerror}: install the package media-types, or name such a file with "
            "KTCP_MIME="
        )
    types = read(text)
    if types.get("html") != "text/html":
        sys.exit(f"{source} is no list of media types: it does not know what html is")
    sys.stdout.write(table(types))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
