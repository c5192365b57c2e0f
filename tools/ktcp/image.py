# SPDX-License-Identifier: GPL-2.0
"""A kernel's image, which unpacks itself."""

from __future__ import annotations

import struct
import subprocess

# How images are packed: the first bytes, and the program that unpacks them
PACKERS = {b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz"}


def unpacked(image: bytes) -> bytes | None:
    """The ELF file in an image that unpacks itself, as Documentation/arch/x86/boot.rst describes it;
    None if it is packed in a way that is not known here."""
    setup_sectors = image[0x1F1]
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    packed = image[start : start + length]
    for magic, program in PACKERS.items():
        if packed.startswith(magic):
            # Behind it the kernel's build writes the size of what comes out.
            command, packed = [program, "--decompress", "--stdout"], packed[:-4]
            return subprocess.run(command, input=packed, check=True, capture_output=True).stdout
    return None
