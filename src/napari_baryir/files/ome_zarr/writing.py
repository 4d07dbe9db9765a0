"""Write OME-Zarr: pixels stream to disk, the pyramid is made from them, metadata comes last."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from dask.array.slicing import normalize_index

from napari_baryir.atomic import beside, remove
from napari_baryir.files.image_file import ImageFile
from napari_baryir.files.lazy import averaged, lazy_array, store_lazily
from napari_baryir.files.ome_zarr.reading import CURRENT, WITHOUT_AXES, Level, ZarrDetails
from napari_baryir.files.units import LENGTHS
from napari_baryir.files.waiting import waiting_pixels

CHUNK = 1024
"""Side of a chunk of a new image, in pixels."""

SMALLEST = 1024
"""A new pyramid ends with the first level whose sides are at most this."""

RGB_COLOURS = ("FF0000", "00FF00", "0000FF", "FFFFFF")
"""Display colours of the channels that red, green, blue and alpha become."""

CHANNEL_COLOURS: tuple[str, ...] = (
    "FFFFFF",
    "00FF00",
    "FF00FF",
    "00FFFF",
    "FFFF00",
    "FF0000",
    "0000FF",
)


@contextlib.contextmanager
def output(aside: Path, image: ImageFile, name: str) -> Iterator[Any]:
    """Give an array to fill; see `writing.open_output`."""
    if name == "ome-zarr":
        with _folder(aside, image) as pixels:
            yield pixels
        return
    folder = beside(aside, "zarr")
    try:
        with _folder(folder, image) as pixels:
            yield pixels
        _zip(folder, aside)
    finally:
        remove(folder)


def _zip(folder: Path, archive: Path) -> None:
    """Put a folder into a ZIP file as RFC-9 of OME-Zarr asks: not packed, metadata first."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    files.sort(key=lambda path: (path.name != "zarr.json", len(path.parts), path))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in files:
            file.write(path, path.relative_to(folder).as_posix())
        if (folder / "zarr.json").exists():
            file.comment = json.dumps({"ome": {"version": CURRENT}}).encode()


@contextlib.contextmanager
def _folder(aside: Path, image: ImageFile) -> Iterator[Any]:
    details = image.details if isinstance(image.details, ZarrDetails) else _new_details(image)
    group = zarr.create_group(store=aside, zarr_format=details.zarr_format)
    arrays = [
        group.create_array(level.path, shape=level.shape, dtype=image.dtype, **level.storage)
        for level in details.levels
    ]
    order = _store_order(image.axes, details.axes)
    if _fits_planes(arrays[0]):
        yield _Reordered(arrays[0], order)
    else:
        # Planes that share a chunk would each make it be read, changed and written again.
        with waiting_pixels(image.shape, image.dtype, aside) as pixels:
            yield pixels
            store_lazily(pixels.transpose(order), arrays[0])
    for finer, coarser in itertools.pairwise(arrays):
        store_lazily(averaged(lazy_array(finer), coarser.shape), coarser)
    group.attrs.put(dict(details.attributes))


class _Reordered:
    """Forward to an array on disk, which is assigned to as if its axes had another order."""

    def __init__(self, array: zarr.Array[Any], order: tuple[int, ...]) -> None:
        self._array = array
        self._order = order
        self.shape = tuple(array.shape[order.index(i)] for i in range(len(order)))
        self.dtype = np.dtype(array.dtype)
        self.ndim = len(order)

    def __setitem__(self, key: Any, value: Any) -> None:
        index = normalize_index(key, self.shape)
        kept = [i for i, each in enumerate(index) if isinstance(each, slice)]
        shape = tuple(len(range(*index[i].indices(self.shape[i]))) for i in kept)
        block = np.broadcast_to(np.asarray(value, self.dtype), shape)
        turned = block.transpose([kept.index(i) for i in self._order if i in kept])
        self._array[tuple(index[i] for i in self._order)] = np.ascontiguousarray(turned)


def _store_order(ours: str, theirs: str) -> tuple[int, ...]:
    """Return for each axis on disk which of ours it is; samples are channels there."""
    if "C" not in ours:
        ours = ours.replace("S", "C")
    if sorted(ours) != sorted(theirs):
        # Axes given by the user over those of the file: the dimensions stay where they are.
        return tuple(range(len(ours)))
    return tuple(ours.index(letter) for letter in theirs)


def _fits_planes(array: zarr.Array[Any]) -> bool:
    return array.shards is None and math.prod(array.chunks[:-2]) == 1


def _new_details(image: ImageFile) -> ZarrDetails:
    """Make axes in the order of the specification, steps, units, channels and a pyramid."""
    letters = image.axes if "C" in image.axes else image.axes.replace("S", "C")
    axes = "".join(letter for letter in WITHOUT_AXES if letter in letters)
    shape = tuple(image.shape[i] for i in _store_order(image.axes, axes))
    levels = []
    for index, level_shape in enumerate(_pyramid(shape)):
        chunks = (1,) * (len(shape) - 2) + tuple(min(CHUNK, n) for n in level_shape[-2:])
        storage = {"chunks": chunks, "dimension_names": [letter.lower() for letter in axes]}
        levels.append(Level(str(index), level_shape, storage))
    datasets = [
        {
            "path": level.path,
            "coordinateTransformations": [
                {"type": "scale", "scale": _steps(axes, image.scale, shape, level.shape)}
            ],
        }
        for level in levels
    ]
    multiscale = {
        "name": image.path.stem or "image",
        "axes": [_axis(letter, image.units.get(letter)) for letter in axes],
        "datasets": datasets,
    }
    ome: dict[str, Any] = {"version": CURRENT, "multiscales": [multiscale]}
    channels = _channels(image, axes, shape)
    if channels:
        ome["omero"] = {"channels": channels}
    return ZarrDetails(CURRENT, axes, {"ome": ome}, tuple(levels))


def _pyramid(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    shapes = [shape]
    while max(shapes[-1][-2:]) > SMALLEST:
        last = shapes[-1]
        shapes.append((*last[:-2], *(max(1, n // 2) for n in last[-2:])))
    return shapes


def _steps(
    axes: str, scale: Mapping[str, float], shape: tuple[int, ...], level: tuple[int, ...]
) -> list[float]:
    return [
        float(scale.get(letter, 1.0)) * max(1, round(full / here))
        for letter, full, here in zip(axes, shape, level, strict=True)
    ]


def _axis(letter: str, unit: str | None) -> dict[str, str]:
    kind = {"T": "time", "C": "channel"}.get(letter, "space")
    axis = {"name": letter.lower(), "type": kind}
    if unit is not None and kind != "channel" and (unit in LENGTHS) == (kind == "space"):
        axis["unit"] = unit
    return axis


def _channels(image: ImageFile, axes: str, shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the omero block's channels, for colours and for channels that have names."""
    if "C" not in axes:
        return []
    count = shape[axes.index("C")]
    names, colours = image.channel_names, CHANNEL_COLOURS
    if "S" in image.axes and "C" not in image.axes and count in (3, 4):
        names, colours = ("red", "green", "blue", "alpha")[:count], RGB_COLOURS
    if len(names) != count:
        return []
    top = float(np.iinfo(image.dtype).max) if image.dtype.kind in "ui" else 1.0
    window = {"min": 0.0, "max": top, "start": 0.0, "end": top}
    return [
        {"label": name, "color": colours[i % len(colours)], "active": True, "window": window}
        for i, name in enumerate(names)
    ]
