"""Recognise the content of a file by its first bytes, under any name."""

from __future__ import annotations

from pathlib import Path

from napari_baryir.errors import InputError
from napari_baryir.files.formats import FORMATS

SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"ZISRAWFILE", "CZI"),
    (0, b"\xda\xce\xbe\x0a", "ND2"),
    (0, b"\x70\0\0\0", "LIF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypcrx", "a raw photograph (CR3)"),
    (4, b"ftyp", "a film"),
    (0, b"BM", "BMP"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"GIF8", "GIF"),
    (0, b"8BPS", "Photoshop"),
    (4, b"jP  \r\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"JXL \r\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x89HDF\r\n", "HDF5"),
    (0, b"%PDF", "PDF"),
    (0, b"<!doctype html", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the file itself"),
)
"""Offset, bytes there (letters of either case), and the kind of such a file."""


ALSO = {"ome-zarr-zip": "a ZIP archive", "nd2": "JPEG 2000"}
"""Kinds that files of a format are of besides their own; older ND2s are JPEG 2000."""


def content_title(path: Path) -> str | None:
    """Name the kind of a file; None for kinds that are not among `SIGNATURES`."""
    with path.open("rb") as file:
        head = file.read(64)
    if head[4:8] == b"ftyp" and b"avif" in head:
        return "AVIF"  # its first brand may be that of HEIC
    for offset, mark, title in SIGNATURES:
        if head[offset : offset + len(mark)].lower() == mark.lower():
            return title
    return None


def require_content(path: Path, name: str) -> None:
    """Raise `InputError` if a file is of another known kind than `name`, a key of `FORMATS`.

    A TIFF must have its own signature, which is short and without exceptions.
    """
    named, found = FORMATS[name].title, content_title(path)
    if found is None and name == "tiff":
        with path.open("rb") as file:
            raise InputError(
                f"{path}: not a TIFF file (it begins with {file.read(12)!r}); give the image itself"
            )
    if found in (None, ALSO.get(name, named), named):
        return
    suffix = next((each.suffixes[0] for each in FORMATS.values() if each.title == found), None)
    advice = f"rename it to end in {suffix}" if suffix else "convert it to PNG or TIFF first"
    raise InputError(f"{path}: it is named as a {named} but is {found}; {advice}")
