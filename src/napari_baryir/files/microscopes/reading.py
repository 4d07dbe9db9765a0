"""Read CZI, ND2 and LIF, each through the library that knows it best.

Not through bioio: it would bring 35 packages more, the reader for CZI under the GPL among them.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_baryir.errors import InputError
from napari_baryir.files.formats import extra_needed, require_format, split_scene
from napari_baryir.files.image_file import ImageFile
from napari_baryir.files.microscopes.stored import Reader

READERS = {"czi": "CziReader", "nd2": "Nd2Reader", "lif": "LifReader"}
"""Format to its `Reader`, in the module that is named as the format; imported when used."""

SPECTRAL = ("λ", "Λ")
"""Axes of emission and excitation wavelengths, which are channels."""


@dataclass(frozen=True)
class InstrumentDetails:
    """The settings of the microscope, which are not read."""

    def only_here(self) -> tuple[str, ...]:
        return ("settings of the microscope",)


def read(path: Path) -> ImageFile:
    """Read an image of a file; see `reading.read_image`."""
    where, scene = split_scene(path)
    name = require_format(where)
    reader = _open(where, name)
    with contextlib.ExitStack() as reading:
        reading.callback(reader.close)
        scenes = _scenes(reader)
        stored = reader.image(_number(where, scene, scenes))
        picture = (stored.dims.index("S") if "S" in stored.dims else len(stored.dims)) - 2
        kept = [i for i, n in enumerate(stored.data.shape) if n != 1 or i >= picture]
        dims = [stored.dims[i] for i in kept]
        axes = _our_axes(where, dims)
        data = stored.data[tuple(slice(None) if i in kept else 0 for i in range(len(stored.dims)))]
        in_memory = isinstance(data, np.ndarray)  # or mapped, which needs no open file either
        if not in_memory:
            reading.pop_all()
    scale = {
        letter: float(f"{stored.steps[dim]:.12g}")  # 1e-7 m are 0.1 micrometers
        for letter, dim in zip(axes, dims, strict=True)
        if letter in "TZYX" and 0 < stored.steps.get(dim, 0) < np.inf
    }
    notes = []
    if scene is None and len(scenes) > 1:
        notes.append(
            f"it holds {len(scenes)} images; only the first is used; "
            f"the next is {where.name}/{scenes[1]}"
        )
    if axes != "".join(dims):
        notes.append(f"its axes {', '.join(dims)} are read as {', '.join(axes)}")
    names = stored.channel_names if any(stored.channel_names) else ()
    return ImageFile(
        path,
        name,
        data,
        axes,
        scale=scale,
        units={letter: "second" if letter == "T" else "micrometer" for letter in scale},
        channel_names=names if "C" in axes and len(names) == data.shape[axes.index("C")] else (),
        details=InstrumentDetails(),
        notes=tuple(notes),
        resource=None if in_memory else reader,
    )


def scene_names(path: Path) -> tuple[str, ...]:
    """Return the last parts of the paths of a file's images; none where it holds only one."""
    reader = _open(path, require_format(path))
    with contextlib.closing(reader):
        scenes = _scenes(reader)
    return scenes if len(scenes) > 1 else ()


def _open(path: Path, name: str) -> Reader:
    try:
        module = importlib.import_module(f"{__package__}.{name}")
        reader: Reader = getattr(module, READERS[name])(path)
    except ModuleNotFoundError as error:
        raise extra_needed(path, name) from error
    return reader


def _scenes(reader: Reader) -> tuple[str, ...]:
    """Number the images, with their names as far as these can stand in the name of a file."""
    safe = (re.sub(r"[^\w.+-]+", "_", name).strip("._") for name in reader.names)
    return tuple(f"{i}-{name}" if name else f"{i}" for i, name in enumerate(safe, 1))


def _number(path: Path, scene: str | None, scenes: tuple[str, ...]) -> int:
    if not scenes:
        raise InputError(f"{path}: it holds no images")
    if scene is None:
        return 0
    digits = re.match(r"\d+(?=-|$)", scene)
    if digits is None or not 0 < int(digits[0]) <= len(scenes):
        listed = ", ".join(scenes[:5]) + (", ..." if len(scenes) > 5 else "")
        raise InputError(f"{path}: it has no image {scene}; its images are {listed}")
    return int(digits[0]) - 1


def _our_axes(path: Path, dims: list[str]) -> str:
    """Return one letter of T, Z, C, Y, X, S for each axis of a file."""
    planes = dims[: (dims.index("S") if "S" in dims else len(dims)) - 2]
    free = [letter for letter in "ZTC" if letter not in planes]
    letters = []
    for dim in planes:
        if dim not in ("T", "Z", "C"):
            if not free:
                raise InputError(
                    f"{path}: axes {', '.join(dims)} are more than T, Z, C, Y, X and S; "
                    "save each position or phase as a file of its own"
                )
            dim = "C" if dim in SPECTRAL and "C" in free else free[0]
            free.remove(dim)
        letters.append(dim)
    return "".join((*letters, "YX", *dims[len(planes) + 2 :]))
