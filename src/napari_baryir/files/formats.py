"""List the file formats that can be read and written, in a table."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from napari_baryir.errors import InputError


@dataclass(frozen=True)
class FileFormat:
    """A format, how its files are named, and what fits into one."""

    title: str
    """Its usual name."""
    suffixes: tuple[str, ...]
    """Ends of file names, lower case, with the dot."""
    is_folder: bool = False
    """Whether one image is a folder on disk."""
    dtypes: tuple[str, ...] = ()
    """Names of the NumPy dtypes that fit; none: every integer and float."""
    photo_only: bool = False
    """Whether only one plane, grey or RGB, fits."""
    alpha: bool = True
    """Whether transparency fits."""
    read_only: tuple[str, ...] = ()
    """Those of the suffixes under which nothing is written."""
    scenes: bool = False
    """Whether a file can hold several images, each with a path: ``cells.lif/2-tail``."""
    keeps: tuple[str, ...] = ()
    """Fields of `ImageFile` besides axes that every file of the format can keep."""
    room: str = "photo"
    """Folder with the modules ``reading`` and ``writing`` of the format; imported when used."""


def _photo(title: str, suffixes: tuple[str, ...], *, alpha: bool = True) -> FileFormat:
    kept = ("icc_profile", "exif")
    return FileFormat(title, suffixes, dtypes=("uint8",), photo_only=True, alpha=alpha, keeps=kept)


def _microscope(title: str, suffix: str) -> FileFormat:
    return FileFormat(title, (suffix,), read_only=(suffix,), scenes=True, room="microscopes")


FORMATS: dict[str, FileFormat] = {
    "tiff": FileFormat(
        "TIFF",
        (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk"),
        read_only=(".lsm", ".stk"),
        keeps=("icc_profile", "scale", "channel_names"),
        room="tiff",
    ),
    "png": FileFormat(
        "PNG", (".png",), dtypes=("uint8", "uint16"), photo_only=True, keeps=("icc_profile", "exif")
    ),
    "jpeg": _photo("JPEG", (".jpg", ".jpeg"), alpha=False),
    "webp": _photo("WebP", (".webp",)),
    "avif": _photo("AVIF", (".avif",)),
    "heif": _photo("HEIC", (".heic", ".heif")),
    "bmp": replace(_photo("BMP", (".bmp",), alpha=False), keeps=()),
    "ome-zarr": FileFormat(
        "OME-Zarr", (".zarr",), is_folder=True, keeps=("scale", "channel_names"), room="ome_zarr"
    ),
    "ome-zarr-zip": FileFormat(
        "zipped OME-Zarr", (".ozx", ".zarr.zip"), keeps=("scale", "channel_names"), room="ome_zarr"
    ),
    "czi": _microscope("CZI", ".czi"),
    "nd2": _microscope("ND2", ".nd2"),
    "lif": _microscope("LIF", ".lif"),
}
"""Name of a format to its description. ``.ome.tif`` and ``.ome.zarr`` are among them."""


def format_name(path: str | os.PathLike[str]) -> str | None:
    """Return the key of `FORMATS` for a path, None for none.

    The suffix decides. A folder without a known suffix is an OME-Zarr if its metadata lists an
    image: those inside plates and inside conversions of many images are named by numbers.
    """
    where, _ = split_scene(path)
    ending = where.name[1:].lower()  # ".tif" alone is a hidden file
    for name, each in FORMATS.items():
        if ending.endswith(each.suffixes):
            return name
    return "ome-zarr" if holds_ome_zarr(where) else None


def split_scene(path: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Split the path of an image into that of its file and its scene, the part below the file.

    None stands for the first image of a file, or the only one.
    """
    where = Path(path)
    ends = tuple(suffix for each in FORMATS.values() if each.scenes for suffix in each.suffixes)
    if where.parent.name.lower().endswith(ends) and where.parent.is_file():
        return where.parent, where.name
    return where, None


def image_name(path: Path) -> str:
    """Return the name of an image's file, with the scene where one is meant."""
    where, scene = split_scene(path)
    return where.name if scene is None else f"{where.name}/{scene}"


def extra_needed(path: Path, name: str) -> InputError:
    """Return the error for a format whose library is not installed."""
    when = " for Python up to 3.13" if name == "czi" else ""
    return InputError(
        f"{path}: {FORMATS[name].title} files need one more library; "
        f'pip install "napari-baryir[formats]" brings it{when}'
    )


def holds_ome_zarr(folder: Path) -> bool:
    """Return whether the metadata of a folder lists an image of OME-Zarr."""
    for name in ("zarr.json", ".zattrs"):
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError, RecursionError):
            stored = json.loads((folder / name).read_bytes())
            attributes = stored.get("attributes", stored)
            return "multiscales" in attributes.get("ome", attributes)
    return False


def result_place(source: Path, below: Path) -> Path:
    """Return where the result of an image can be written, below the output folder.

    `below` is the image's own path there. It stays where its format can be written under it.
    """
    name = format_name(source)
    where, scene = split_scene(source)
    if name is not None and where.suffix.lower() in FORMATS[name].read_only:
        image = below.name if scene is None else f"{where.name}.{scene}"
        return below.with_name(f"{image}.tif")
    if name == "ome-zarr" and format_name(below) is None:
        return below.with_name(f"{below.name}.zarr")
    return below


def possible_sources(result: Path) -> Iterator[Path]:
    """Yield the paths that `result_place` may have named a result after."""
    yield result
    shorter = result.with_suffix("")
    if result_place(shorter, shorter) == result:
        yield shorter
    for each in FORMATS.values():
        for suffix in each.suffixes if each.scenes else ():
            end = result.name.lower().find(f"{suffix}.")
            if end > 0:
                yield result.with_name(result.name[: end + len(suffix)])


def is_image_path(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is an image: by its name, and a file or a folder as its format has it.

    Names that begin with a dot are none: hidden files, and outputs that are still being written.
    """
    where, _ = split_scene(path)
    name = format_name(where)
    if name is None or where.name.startswith("."):
        return False
    return where.is_dir() if FORMATS[name].is_folder else where.is_file()


def known_suffixes() -> str:
    """List all suffixes, for messages: ``.tif, .tiff, ...``."""
    return ", ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)


def require_format(path: str | os.PathLike[str]) -> str:
    """Return the key of `FORMATS` for a path; raise `InputError` if the suffix is not known."""
    name = format_name(path)
    if name is None:
        suffix = Path(path).suffix
        came = f"files that end in {suffix}" if suffix else "files without a suffix"
        raise InputError(f"{path}: {came} are not supported; use one of {known_suffixes()}")
    return name
