"""Open an image file of any supported format."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

from napari_baryir.errors import BaryIRError, InputError
from napari_baryir.files.content import require_content
from napari_baryir.files.formats import FORMATS, format_name, require_format, split_scene
from napari_baryir.files.image_file import ImageFile
from napari_baryir.version import check_libraries


def read_image(path: str | os.PathLike[str]) -> ImageFile:
    """Read an image with its axes and metadata.

    Parameters
    ----------
    path
        A file of one of `FORMATS`, by its suffix, or the folder of an image in OME-Zarr; below a
        file of several images the number of one, ``cells.lif/2``. Large TIFFs and files of
        microscopes, and all OME-Zarrs, are read when their pixels are needed.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, or of a kind that is not supported.
    """
    where, _ = split_scene(path)
    if not where.exists():
        raise InputError(f"{where}: there is no such file or folder")
    name = require_format(where)
    _require_there(where, name)
    with damage_reported(where, FORMATS[name].title):
        if where.is_file():
            require_content(where, name)
        image: ImageFile = importlib.import_module(
            f"napari_baryir.files.{FORMATS[name].room}.reading"
        ).read(Path(path))
        if 0 in image.shape:
            raise InputError(f"{where}: the image has no pixels (shape {image.shape})")
    return image


def images_inside(path: Path) -> list[Path]:
    """List the paths of the images in a file; the path itself if there is one, or none is read."""
    where, scene = split_scene(path)
    name = format_name(where)
    if name is not None and FORMATS[name].scenes and scene is None and where.is_file():
        from napari_baryir.files.microscopes.reading import scene_names

        with contextlib.suppress(Exception):  # reading the image will say what is wrong
            return [path / scene for scene in scene_names(path)] or [path]
    return [path]


@contextlib.contextmanager
def damage_reported(path: Path, title: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into an `InputError` that names the file."""
    try:
        yield
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error
    except (BaryIRError, MemoryError):
        raise
    except (AttributeError, TypeError, NameError, ImportError) as error:
        # A mistake of ours, or a version of a library that does not fit: the file may be sound.
        check_libraries(error)
        error.add_note(f"while reading {path}")
        raise
    except Exception as error:  # decoders raise everything: struct.error, zlib.error, IndexError...
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        check_libraries(error)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: not a readable {title}; it is damaged or incomplete ({reason})"
        ) from error


def _require_there(path: Path, name: str) -> None:
    if FORMATS[name].is_folder:
        if not path.is_dir():
            raise InputError(f"{path}: an {FORMATS[name].title} is a folder, but this is a file")
    elif path.is_dir():
        raise InputError(f"{path}: this is a folder, not a {FORMATS[name].title} file")
    elif path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes)")
