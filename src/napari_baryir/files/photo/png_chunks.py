"""Keep the metadata of a PNG byte by byte around pixels that another library codes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"

KEPT = b"cHRM cICP gAMA iCCP sRGB mDCV cLLI eXIf pHYs tIME tEXt zTXt iTXt".split()
"""Chunks that stay true when the pixels change. Not among them: palettes, transparent colours,
backgrounds and significant bits, which are numbers in the old pixels' terms, and animations."""

INCHES_PER_METER = 39.3701

Chunk = tuple[bytes, bytes]
"""Type and content."""


def read_chunks(png: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG, to the last.

    Raises `ValueError` if the file ends too early, or a checksum is wrong.
    """
    if not png.startswith(SIGNATURE):
        raise ValueError("it does not begin as a PNG does")
    at = len(SIGNATURE)
    while True:
        head = png[at : at + 8]
        if len(head) < 8:
            raise ValueError("it ends before its last chunk")
        length, kind = struct.unpack(">I4s", head)
        content = png[at + 8 : at + 8 + length]
        check = png[at + 8 + length : at + 12 + length]
        if len(check) < 4 or zlib.crc32(kind + content) != int.from_bytes(check, "big"):
            raise ValueError(f"chunk {kind.decode('ascii', 'replace')} is damaged or cut off")
        yield kind, content
        if kind == b"IEND":
            return
        at += 12 + length


def insert_chunks(png: bytes, chunks: Iterable[Chunk]) -> bytes:
    """Put chunks right behind a PNG's header, where all of `KEPT` may stand."""
    at = len(SIGNATURE) + 12 + 13  # IHDR's content is 13 bytes
    return png[:at] + b"".join(_packed(*chunk) for chunk in chunks) + png[at:]


def profile_chunk(icc_profile: bytes) -> Chunk:
    """Make the iCCP chunk of a colour profile."""
    return b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile)


def density_chunk(dpi: tuple[float, float]) -> Chunk:
    """Make the pHYs chunk of dots per inch along X and Y."""
    x, y = (round(value * INCHES_PER_METER) for value in dpi)
    return b"pHYs", struct.pack(">IIB", x, y, 1)


def _packed(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check
