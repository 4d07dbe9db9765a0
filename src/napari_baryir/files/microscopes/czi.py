"""Read CZI of Zeiss's microscopes through their own pylibCZIrw."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import InputError
from napari_baryir.files.lazy import read_lazily
from napari_baryir.files.microscopes.stored import MICROMETERS, Stored
from napari_baryir.files.waiting import IN_MEMORY

ROWS = 1024
"""Rows of a plane that are read at once from a large file."""

PIXELS = {"Gray8": "uint8", "Gray16": "uint16", "Gray32Float": "float32", "Bgr24": "uint8",
          "Bgr48": "uint16", "Bgr96Float": "float32"}  # fmt: skip
"""Zeiss's types of pixels that can be read, and NumPy's of a value."""


class CziReader:
    """An open CZI."""

    def __init__(self, path: Path) -> None:
        from pylibCZIrw import czi

        self._path = path
        self._lock = threading.Lock()  # dask reads from several threads
        self._open = contextlib.ExitStack()
        self._file = self._open.enter_context(czi.open_czi(str(path)))
        self._about = self._file.metadata["ImageDocument"]["Metadata"]
        self._scenes = self._file.scenes_bounding_rectangle or {None: None}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its scenes."""
        listed = _listed(self._dimension("S"), "Scenes", "Scene")
        names = {int(scene["@Index"]): str(scene.get("@Name") or "") for scene in listed}
        return tuple(names.get(number, "") for number in self._scenes)

    def image(self, number: int) -> Stored:
        """Return a scene, its tiles put together; it is read when needed if it is large."""
        scene = list(self._scenes)[number]
        bounds = self._scenes[scene] or self._file.total_bounding_rectangle
        dtype, samples = self._pixels()
        box = self._file.total_bounding_box
        lengths = {
            dim: range(*ends)
            for dim, ends in box.items()
            if dim not in ("X", "Y", "S", "M") and ends[1] - ends[0] > 1
        }
        order = sorted(lengths, key="TZC".find)  # what has no letter comes first

        def read(block: tuple[slice, ...]) -> NDArray[Any]:
            planes, rows = block[: len(order)], block[len(order)]
            roi = (bounds.x, bounds.y + rows.start, bounds.w, rows.stop - rows.start)
            shape = [part.stop - part.start for part in planes]
            found = np.empty((*shape, roi[3], roi[2], *samples), dtype)
            for index in np.ndindex(*shape):
                at = {
                    dim: lengths[dim][part.start + i]
                    for dim, part, i in zip(order, planes, index, strict=True)
                }
                with self._lock:
                    values = self._file.read(roi=roi, plane=at, scene=scene)
                found[index] = values[..., ::-1] if samples else values[..., 0]
            return found

        shape = (*(len(lengths[dim]) for dim in order), bounds.h, bounds.w, *samples)
        if math.prod(shape) * dtype.itemsize <= IN_MEMORY:
            data = read(tuple(slice(0, n) for n in shape))
        else:
            strips = [min(ROWS, bounds.h - top) for top in range(0, bounds.h, ROWS)]
            blocks = [*([1] * n for n in shape[: len(order)]), strips, [bounds.w]]
            blocks += [[n] for n in samples]
            data = read_lazily(read, blocks, dtype)
        dims = (*order, "Y", "X", *("S" for _ in samples))
        return Stored(data, dims, self._steps(), self._channel_names())

    def close(self) -> None:
        self._open.close()

    def _pixels(self) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """Return the type of a value, and the length of axis S where there are colours."""
        kinds = set(self._file.pixel_types.values())
        colours = any(kind.startswith("Bgr") for kind in kinds)
        if kinds.difference(PIXELS) or (colours and len(kinds) > 1):
            raise InputError(
                f"{self._path}: it holds pixels of the types {', '.join(sorted(kinds))}, which "
                "cannot be read together; save each channel as a file of its own"
            )
        return np.result_type(*(PIXELS[kind] for kind in kinds)), (3,) if colours else ()

    def _dimension(self, dim: str) -> Any:
        return (self._about["Information"]["Image"].get("Dimensions") or {}).get(dim)

    def _channel_names(self) -> tuple[str, ...]:
        listed = _listed(self._dimension("Channels"), "Channel")
        return tuple(str(channel.get("@Name") or "") for channel in listed)

    def _steps(self) -> dict[str, float]:
        """Return micrometers, and seconds of a time series."""
        distances = _listed(self._about.get("Scaling"), "Items", "Distance")
        steps = {each["@Id"]: float(each["Value"]) * MICROMETERS for each in distances}
        positions = (self._dimension("T") or {}).get("Positions") or {}
        if "Interval" in positions:
            steps["T"] = float(positions["Interval"]["Increment"])
        elif "List" in positions:
            times = [float(each) for each in str(positions["List"]["Offsets"]).split()]
            gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
            steps["T"] = float(np.median(gaps)) if gaps else 0.0
        return steps


def _listed(parsed: Any, *path: str) -> list[Any]:
    """Return the elements at a path of parsed XML, where a single one is no list."""
    for name in path:
        parsed = (parsed or {}).get(name)
    if parsed is None:
        return []
    return parsed if isinstance(parsed, list) else [parsed]
