"""Read OME-Zarr, versions 0.1 to 0.5, in a folder or zipped, without loading pixels."""

from __future__ import annotations

import contextlib
import itertools
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import zarr
from pydantic import (
    BaseModel,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
    model_validator,
)
from zarr.storage import ZipStore

from napari_baryir.errors import InputError, in_words
from napari_baryir.files.formats import holds_ome_zarr, require_format
from napari_baryir.files.image_file import ImageFile
from napari_baryir.files.lazy import lazy_array
from napari_baryir.files.units import UNITS

VERSIONS: dict[str, Literal[2, 3]] = {"0.1": 2, "0.2": 2, "0.3": 2, "0.4": 2, "0.5": 3}
"""Version of OME-Zarr to the version of zarr that it is stored in."""

CURRENT = "0.5"
"""The version that new images are written in."""

WITHOUT_AXES = "TCZYX"
"""Axes of every image of versions 0.1 and 0.2."""


class _Scaling(BaseModel):
    type: str = ""
    scale: list[FiniteFloat] | None = None


class _Dataset(BaseModel):
    path: str
    coordinateTransformations: list[_Scaling] = []


class _Axis(BaseModel):
    name: str
    unit: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, axis: Any) -> Any:
        return {"name": axis} if isinstance(axis, str) else axis  # as version 0.3 has it


class _Multiscale(BaseModel):
    axes: list[_Axis] | None = None
    datasets: list[_Dataset] = Field(min_length=1)
    coordinateTransformations: list[_Scaling] = []
    version: Any = "0.4"

    @field_validator("datasets")
    @classmethod
    def _differ(cls, datasets: list[_Dataset]) -> list[_Dataset]:
        if len({dataset.path for dataset in datasets}) < len(datasets):
            raise ValueError("it lists an array twice")
        return datasets


class _Channel(BaseModel):
    label: Any = ""


class _Omero(BaseModel):
    channels: list[_Channel] | None = None


class _Metadata(BaseModel):
    """The part of an image's JSON that we read; other keys, which may hold anything, stay."""

    multiscales: list[_Multiscale] = Field(min_length=1)
    omero: _Omero | None = None
    version: Any = None


@dataclass(frozen=True)
class Level:
    """One array of the pyramid and how it is stored."""

    path: str
    shape: tuple[int, ...]
    storage: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `zarr.create_array` besides shape and dtype."""


@dataclass(frozen=True)
class ZarrDetails:
    """The image's metadata word by word, and its pyramid."""

    version: str
    axes: str
    """Axes of the arrays on disk."""
    attributes: Mapping[str, Any]
    """Attributes of the group, omero and multiscales among them."""
    levels: tuple[Level, ...]
    """Largest first."""

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """Return the version of zarr itself."""
        return VERSIONS[self.version]

    def only_here(self) -> tuple[str, ...]:
        """Name what another format cannot keep: nothing besides what `ImageFile` holds."""
        return ()


def read(path: Path) -> ImageFile:
    """Read the image of a group; see `reading.read_image`."""
    name = require_format(path)
    store = ZipStore(path, mode="r") if name == "ome-zarr-zip" else None
    try:
        return _read(path, name, _open_group(path, store), store)
    except BaseException:
        if store is not None:
            # A damaged archive was never opened, and zarr fails to close a store that is not open.
            with contextlib.suppress(AttributeError):
                store.close()
        raise


def _read(path: Path, name: str, group: zarr.Group, store: ZipStore | None) -> ImageFile:
    attributes: dict[str, Any] = dict(group.attrs.asdict())
    metadata: Any = attributes.get("ome", attributes)
    if not isinstance(metadata, dict) or not metadata.get("multiscales"):
        raise InputError(f"{path}: it has no image at its root; {_advice(path)}")
    try:
        known = _Metadata.model_validate(metadata)
    except ValidationError as error:
        raise InputError(
            f"{path}: its metadata is not that of an OME-Zarr: {in_words(error, most=3)}"
        ) from None
    first = known.multiscales[0]
    version = str(first.version if known.version is None else known.version)
    if version not in VERSIONS:
        raise InputError(f"{path}: OME-Zarr {version} is not known; versions up to {CURRENT} are")
    levels = tuple(_level(group, dataset.path) for dataset in first.datasets)
    channels = known.omero.channels if known.omero is not None else None
    names = tuple(str(channel.label) for channel in channels or ())
    axes = _axes(path, first, len(levels[0].shape))
    scale, units = _spacing(first, axes)
    notes = []
    if len(known.multiscales) > 1:
        notes.append(f"it describes {len(known.multiscales)} images; only the first is used")
    if "labels" in group:
        notes.append("its labels are not copied")
    return ImageFile(
        path,
        name,
        lazy_array(group[levels[0].path], path, "OME-Zarr"),
        axes,
        scale=scale,
        units=units,
        channel_names=names if any(names) else (),
        details=ZarrDetails(version, axes, _only_first(attributes), levels),
        notes=tuple(notes),
        resource=store,
    )


def _open_group(path: Path, store: ZipStore | None) -> zarr.Group:
    try:
        if store is None:
            return zarr.open_group(path, mode="r")
        try:
            return zarr.open_group(store, mode="r")
        except (FileNotFoundError, zarr.errors.GroupNotFoundError):
            # A zipped folder often has the folder's own name in the archive, too.
            with zipfile.ZipFile(path) as archive:
                (folder,) = {name.split("/")[0] for name in archive.namelist()}
            return zarr.open_group(store, path=folder, mode="r")
    except (
        FileNotFoundError, zarr.errors.ContainsArrayError, zarr.errors.GroupNotFoundError
    ):  # fmt: skip
        raise InputError(
            f"{path}: not an OME-Zarr image: it has no zarr.json or .zgroup of a group"
        ) from None


def _advice(path: Path) -> str:
    """Name images that lie deeper, as in plates and in conversions of multi-image files."""
    if path.is_file():
        return "unpack it and name the folder of one image inside"
    names = [str(each.relative_to(path)) for each in itertools.islice(_images_inside(path), 6)]
    if not names:
        return "name the folder of one image inside, one with multiscales in its metadata"
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"name one of those inside: {listed} (for instance {path / names[0]})"


def _images_inside(folder: Path, deeper: int = 3) -> Iterator[Path]:
    """Go through the images in a folder; those of a plate are three levels down."""
    for child in sorted(folder.iterdir(), key=lambda each: (len(each.name), each.name)):
        if holds_ome_zarr(child):
            yield child
        elif child.is_dir() and deeper > 1:
            yield from _images_inside(child, deeper - 1)


def _level(group: zarr.Group, path: str) -> Level:
    try:
        array = group[path]
    except TypeError as error:  # of zarr, where its JSON has another type than is expected
        raise InputError(f"its array {path} cannot be read: {error}") from error
    if not isinstance(array, zarr.Array):
        raise InputError(f"{path} is a group, not an array")
    metadata: Any = array.metadata
    storage: dict[str, Any] = {
        "chunks": array.chunks,
        "shards": array.shards,
        "compressors": array.compressors or None,
        "filters": array.filters or None,
        "fill_value": array.fill_value,
    }
    if metadata.zarr_format == 3:
        storage["chunk_key_encoding"] = metadata.chunk_key_encoding
        storage["dimension_names"] = metadata.dimension_names
    else:
        separator = metadata.dimension_separator
        storage["chunk_key_encoding"] = {"name": "v2", "separator": separator}
        storage["order"] = metadata.order
    return Level(path, tuple(array.shape), storage)


def _axes(path: Path, multiscale: _Multiscale, ndim: int) -> str:
    if multiscale.axes is None:
        return WITHOUT_AXES[-ndim:]
    names = [axis.name for axis in multiscale.axes]
    axes = "".join(names).upper()
    if len(names) != ndim or len(axes) != ndim or not set(axes) <= set(WITHOUT_AXES):
        raise InputError(
            f"{path}: axes {', '.join(names)} are not supported; expected {ndim} of t, c, z, y, x"
        )
    return axes


def _spacing(multiscale: _Multiscale, axes: str) -> tuple[dict[str, float], dict[str, str]]:
    """Return steps and units by axis, as far as they are known."""
    changes = multiscale.datasets[0].coordinateTransformations
    scales = [
        change.scale or ()
        for change in (*changes, *multiscale.coordinateTransformations)
        if change.type == "scale"
    ]
    steps = [1.0] * len(axes)
    for scale in scales:
        steps = [a * b for a, b in zip(steps, scale, strict=True)]
    named = zip(axes, multiscale.axes or (), strict=False)
    units = {letter: axis.unit for letter, axis in named if axis.unit and axis.unit in UNITS}
    return {a: s for a, s in zip(axes, steps, strict=True) if scales and a != "C"}, units


def _only_first(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes, with only that image listed whose pixels are written."""
    kept = dict(attributes)
    if "ome" in kept:
        kept["ome"] = _only_first(kept["ome"])
    elif "multiscales" in kept:
        kept["multiscales"] = list(kept["multiscales"])[:1]
    return kept
