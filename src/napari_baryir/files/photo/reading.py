"""Read PNG, JPEG, WebP, AVIF, HEIC and BMP: upright, with colour profile, EXIF and resolution."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from napari_baryir.errors import InputError
from napari_baryir.files.formats import extra_needed, require_format
from napari_baryir.files.image_file import ImageFile, upright
from napari_baryir.files.photo.png_chunks import KEPT, Chunk, read_chunks

ORIENTATION = 0x0112
"""EXIF tag: 1 is upright, 2 to 8 are the other ways to turn and mirror an image."""

MODES = ("L", "LA", "RGB", "RGBA")
"""Pillow's modes of pictures that we take: grey and RGB, with alpha or without."""


@dataclass(frozen=True)
class PngDetails:
    """Metadata that only a PNG can keep."""

    chunks: tuple[Chunk, ...]

    def only_here(self) -> tuple[str, ...]:
        texts = (b"tEXt", b"zTXt", b"iTXt")
        return tuple(
            data.split(b"\0")[0].decode("latin-1") for kind, data in self.chunks if kind in texts
        )


@dataclass(frozen=True)
class PhotoDetails:
    """Metadata that Pillow's formats can keep, and ours cannot."""

    comment: bytes | None
    xmp: bytes | None

    def only_here(self) -> tuple[str, ...]:
        return tuple(name for name, value in vars(self).items() if value)


def read(path: Path) -> ImageFile:
    """Read a picture; see `reading.read_image`."""
    name = require_format(path)
    require_codec(path, name)
    return _read_png(path) if name == "png" else _read_photo(path, name)


def require_codec(path: Path, name: str) -> None:
    """Make sure that Pillow has a format; AVIF and WebP are left out of some of its builds.

    HEIC it learns from pillow-heif.
    """
    Image.preinit()
    if name.upper() not in Image.SAVE:
        Image.init()  # loads all formats, which the usual ones need not wait for
    if name == "heif":
        try:
            import pillow_heif
        except ModuleNotFoundError as error:
            raise extra_needed(path, name) from error
        pillow_heif.register_heif_opener()
    if name.upper() not in Image.SAVE:
        raise InputError(f"{path}: the installed Pillow has no {name.upper()}; upgrade Pillow")


def _read_png(path: Path) -> ImageFile:
    content = path.read_bytes()
    chunks = list(read_chunks(content))
    # Pillow would cut 16-bit colours to 8 bits.
    array = imagecodecs.png_decode(content)
    kinds = {kind for kind, _ in chunks}
    exif, turn = None, 1
    with _opened(path) as header:
        icc_profile, dpi = header.info.get("icc_profile"), _dpi(header)
        if b"eXIf" in kinds:
            exif, turn = _upright_exif(header)
    kept = [(kind, data) for kind, data in chunks if kind in KEPT and kind != b"eXIf"]
    if exif is not None:
        # In a PNG the block goes without the marker that begins it in a JPEG.
        kept.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    notes = ("it is animated; only its first picture is used",) if b"acTL" in kinds else ()
    axes = "YX" if array.ndim == 2 else "YXS"
    return ImageFile(
        path,
        "png",
        np.ascontiguousarray(upright(array, axes, turn)),
        axes,
        icc_profile=icc_profile,
        exif=exif,
        dpi=dpi,
        details=PngDetails(tuple(kept)),
        notes=notes,
    )


def _read_photo(path: Path, name: str) -> ImageFile:
    with _opened(path) as picture:
        mode = {"1": "L", "P": "RGBA" if "transparency" in picture.info else "RGB"}.get(
            picture.mode, picture.mode
        )
        if mode not in MODES:
            raise InputError(
                f"{path}: {mode} colours are not supported; convert it to RGB or grey first"
            )
        count = getattr(picture, "n_frames", 1)
        exif, turn = _upright_exif(picture)
        info = picture.info
        details = PhotoDetails(comment=info.get("comment"), xmp=info.get("xmp"))
        array = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    axes = "YX" if array.ndim == 2 else "YXS"
    return ImageFile(
        path,
        name,
        np.ascontiguousarray(upright(array, axes, turn)),
        axes,
        icc_profile=info.get("icc_profile"),
        exif=exif,
        dpi=_dpi(picture),
        details=details,
        notes=(f"it holds {count} pictures; only the first is used",) if count > 1 else (),
    )


def _opened(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow warns of large images; ours come from the user's own disk.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _upright_exif(picture: Image.Image) -> tuple[bytes | None, int]:
    """Return the EXIF block, marked as upright, and the orientation that it had."""
    raw = picture.info.get("exif")
    if not raw:
        return None, 1
    exif = picture.getexif()
    turn = int(exif.get(ORIENTATION, 1))
    if turn == 1 or not 1 <= turn <= 8:
        return bytes(raw), 1
    exif[ORIENTATION] = 1
    return exif.tobytes(), turn


def _dpi(picture: Image.Image) -> tuple[float, float] | None:
    dpi = picture.info.get("dpi")
    if dpi is None or min(dpi) <= 0:
        return None
    return float(dpi[0]), float(dpi[1])
