"""Check the arguments of restoring, and decide what the first tile needs."""

from __future__ import annotations

import numbers
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast, get_args

import numpy as np
import torch

from napari_baryir.devices import Precision, choose_device, choose_precision, choose_tile
from napari_baryir.errors import InputError
from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.checks import as_array, axes_of_names, check_image
from napari_baryir.imaging.intensity import IntensityMap, IntensityMode, choose_intensity
from napari_baryir.imaging.tiles import TileGrid
from napari_baryir.restoration.portable_model import PortableModel, check_model, find_model
from napari_baryir.version import __version__

OneIntensity = IntensityMap | Mapping[str, Any] | tuple[float, float]
Intensity = str | OneIntensity | Sequence[OneIntensity]
"""An `IntensityMode`, or a map, its values as a mapping, or a pair; or one of these per channel."""

LEAST_TILE = 16
"""Pixels; two cells of the network's grid, the least that can overlap."""

OVERLAP = 128
"""Pixels, at most half of a tile, and three eighths of one below 256. On one noisy photograph,
tiles of 256 by either shipped network then differ from the whole image by at most 0.009 of the
range, 0.0001 on average (with 96: 0.037 and 0.0002). What is decided for the scene does not differ.
`test_restoration` holds both shipped networks to 0.03."""


Remove = str | Sequence[str] | Mapping[str, float]
"""The degradations to remove: "auto" for all that the model knows, names of degradations, or names
and amounts from 0 to 1. Degradations that are not named stay in the image."""


@dataclass(frozen=True)
class RestoreOptions:
    """The options of restoring as a form, the command line or a Python call gives them."""

    axes: str | None = None
    model: Any = "auto"
    device: str | torch.device = "auto"
    precision: str = "auto"
    tile: Any = "auto"
    overlap: Any = "auto"
    intensity: Any = "auto"
    strength: float = 1.0
    ensemble: bool = False
    remove: Remove = "auto"


@dataclass(frozen=True)
class Options:
    """The image and the options of restoring, checked."""

    image: Any
    layout: PlaneLayout
    axes_guessed: bool
    asked: RestoreOptions
    """The options as they were given; "auto" is decided where a task runs."""
    device: torch.device
    precision: Precision
    intensity: str | tuple[IntensityMap, ...]
    strength: float
    remove: dict[str, float] | None
    """Amounts by name; None for all of everything."""
    out: Any
    order: list[int]
    """Planes in the order in which to restore them."""


def check_options(image: Any, asked: RestoreOptions, out: Any = None, first: Any = None) -> Options:
    """Check the arguments of `napari_baryir.restoration.iter_restore`.

    Raises `InputError` if the image or an option cannot be used, and `DeviceError` if this computer
    lacks the device.
    """
    array = as_array(image)
    if not isinstance(asked.ensemble, bool | np.bool_ | int):
        raise InputError(f"ensemble is {asked.ensemble!r}; give True or False")
    axes = axes_of_names(image) if asked.axes is None else asked.axes
    layout, guessed = check_image(array, axes)
    check_model(asked.model)
    device = choose_device(asked.device)
    _check_tiling(asked.tile, asked.overlap)
    if out is not None:
        _check_out(out, array)
    return Options(
        image=array,
        layout=layout,
        axes_guessed=guessed,
        asked=asked,
        device=device,
        precision=choose_precision(asked.precision, device),
        intensity=_check_intensity(asked.intensity, layout.channels),
        strength=_check_strength(asked.strength),
        remove=check_remove(asked.remove),
        out=out,
        order=layout.planes_nearest_first(first),
    )


def check_remove(remove: Any) -> dict[str, float] | None:
    """Turn `remove` into amounts by name; None stands for all of everything.

    Raises `InputError` if it is none of the forms of `Remove`, or an amount is outside 0 to 1.
    """
    if isinstance(remove, str):
        remove = [part.strip() for part in remove.split(",")]
        if remove == ["auto"]:
            return None
    if isinstance(remove, Sequence) and all(isinstance(name, str) for name in remove):
        remove = dict.fromkeys(remove, 1.0)
    if not isinstance(remove, Mapping) or not remove:
        raise InputError(
            f"remove is {remove!r}; give 'auto', names of degradations such as 'noise', or a "
            "mapping such as {'noise': 0.5}"
        )
    for name, amount in remove.items():
        if not (isinstance(amount, numbers.Real) and 0 <= float(amount) <= 1):
            raise InputError(f"remove has {name}: {amount!r}; give an amount from 0 to 1")
    return {str(name): float(amount) for name, amount in remove.items()}


def removed_amounts(
    remove: Mapping[str, float] | None, module: Any, name: str
) -> tuple[float, ...] | None:
    """Return the amount to remove of each degradation that a network knows.

    Raises `InputError` if the network does not know one of the names, or cannot be steered.
    """
    if remove is None:
        return None
    known: tuple[str, ...] = getattr(module, "degradations", ())
    if getattr(module, "subspaces", None) is None:
        raise InputError(
            f"model '{name}' removes all that it finds and cannot leave any of it; "
            "use remove='auto', or another model"
        )
    unknown = [each for each in remove if each not in known]
    if unknown:
        raise InputError(
            f"model '{name}' does not know {', '.join(unknown)}; it can remove {', '.join(known)}"
        )
    return tuple(remove.get(each, 0.0) for each in known)


def choose_intensities(
    image: Any, layout: PlaneLayout, intensity: str | tuple[IntensityMap, ...] = "auto"
) -> tuple[IntensityMap, ...]:
    """Choose one map per channel, over all planes of the channel where `intensity` is a mode."""
    if not isinstance(intensity, str):
        return intensity
    return tuple(
        choose_intensity(
            layout.channel_values(image, channel),
            rgb=layout.rgb,
            mode=intensity,  # type: ignore[arg-type]  # choose_intensity checks it
        )
        for channel in range(layout.channels)
    )


def _check_strength(strength: Any) -> float:
    if isinstance(strength, numbers.Real) and 0 <= float(strength) <= 1:
        return float(strength)
    raise InputError(f"strength is {strength!r}; give a number from 0 (input) to 1 (restored)")


def _check_tiling(tile: Any, overlap: Any) -> None:
    named = isinstance(tile, str) and tile in ("auto", "whole")
    if not named and not (_is_count(tile) and tile >= LEAST_TILE):
        raise InputError(
            f"tile is {tile!r}; give 'auto', 'whole' or a number of pixels from {LEAST_TILE}"
        )
    if isinstance(overlap, str) and overlap == "auto":
        return
    if not (_is_count(overlap) and overlap >= 0):
        raise InputError(f"overlap is {overlap!r}; give 'auto' or a number of pixels from 0")
    if _is_count(tile) and overlap > tile // 2:
        raise InputError(
            f"overlap is {overlap} pixels, more than half of the tile's {tile}; "
            f"give at most {tile // 2}, or a larger tile"
        )


def _is_count(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _check_intensity(intensity: Any, channels: int) -> str | tuple[IntensityMap, ...]:
    if isinstance(intensity, str):
        if intensity not in get_args(IntensityMode):
            modes = ", ".join(get_args(IntensityMode))
            raise InputError(
                f"intensity {intensity!r} is unknown; use one of {modes}, or a pair (low, high)"
            )
        return intensity
    if isinstance(intensity, np.ndarray):
        intensity = intensity.tolist()
    alone = _as_map(intensity)
    if alone is not None:
        return (alone,) * channels
    maps = [_as_map(item) for item in intensity] if isinstance(intensity, Sequence) else []
    known = tuple(item for item in maps if item is not None)
    if not known or len(known) != len(maps):
        raise InputError(
            f"intensity is {intensity!r}; give a mode, a pair (low, high), an IntensityMap, or a "
            "sequence of such, one per channel"
        )
    if len(known) != channels:
        raise InputError(
            f"{len(known)} intensity maps for {channels} channel{'s' * (channels != 1)}; "
            "give one per channel, or a single one for all"
        )
    return known


def _as_map(value: Any) -> IntensityMap | None:
    """Return the map that a value stands for; None if it is not a single one."""
    if isinstance(value, IntensityMap):
        return value
    if isinstance(value, Mapping):
        try:
            return IntensityMap.from_dict(value)
        except (KeyError, TypeError) as error:
            raise InputError(f"intensity {dict(value)!r} lacks 'low' or 'high': {error}") from None
    if isinstance(value, Sequence) and len(value) == 2:
        low, high = value
        if isinstance(low, numbers.Real) and isinstance(high, numbers.Real):
            return IntensityMap(float(low), float(high))
    return None


def _check_out(out: Any, image: Any) -> None:
    shape, dtype = getattr(out, "shape", None), getattr(out, "dtype", None)
    if shape is None or dtype is None or not hasattr(out, "__setitem__"):
        raise InputError(f"out must be a writable array, not {type(out).__name__}")
    if tuple(shape) != tuple(image.shape) or np.dtype(dtype) != np.dtype(image.dtype):
        raise InputError(
            f"out has shape {tuple(shape)} and dtype {dtype}, but the image has "
            f"{tuple(image.shape)} and {image.dtype}; they must be equal"
        )
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise InputError("out is read-only; give a writable array")
    both = isinstance(out, np.ndarray) and isinstance(image, np.ndarray)
    if both and np.may_share_memory(out, image):
        raise InputError("out shares memory with the image, which must not change; give another")


@dataclass(frozen=True)
class Plan:
    """The decisions that need the network and the image: tiles, intensity maps, amounts."""

    options: Options
    model: PortableModel
    grid: TileGrid
    intensities: tuple[IntensityMap, ...]
    removed: tuple[float, ...] | None
    """Amount of each of the network's degradations to remove; None for all of all."""
    started: datetime
    begin: float

    @property
    def denoises(self) -> bool:
        """Return whether noise is to be removed."""
        return self.options.remove is None or self.options.remove.get("noise", 0) > 0

    @property
    def layout(self) -> PlaneLayout:
        """Return the planes of the image."""
        return self.options.layout

    def provenance(self, tile: int | None) -> dict[str, Any]:
        """Return the fields of a `Provenance`; `tile`: greatest side that fitted, if known."""
        options, grid = self.options, self.grid
        return {
            "axes_guessed": options.axes_guessed,
            "model": self.model.name,
            "weights_hash": self.model.weights_hash,
            "intensity": self.intensities,
            "device": str(options.device),
            "precision": options.precision,
            "tile": min(grid.tile, tile or grid.tile),
            "overlap": grid.overlap,
            "seconds": time.perf_counter() - self.begin,
            "started": self.started.isoformat(timespec="seconds"),
            "version": __version__,
        }

    @classmethod
    def of(cls, options: Options) -> Plan:
        """Load the network, look at the image, and lay out the tiles."""
        started, begin = datetime.now(UTC), time.perf_counter()
        layout = options.layout
        model = find_model(options.asked.model, rgb=layout.rgb)
        removed = removed_amounts(options.remove, model.module, model.name)
        height, width = layout.height, layout.width
        multiple = int(cast(Any, model.module).size_multiple)
        tile = options.asked.tile
        if tile == "auto":
            tile = choose_tile(height, width, model.module, options.device)
        # Whole cells of the network's grid; the last one of a plane may lie partly outside.
        if tile == "whole" or int(tile) >= max(height, width):
            tile = -(-max(height, width) // multiple) * multiple
        tile = max(2, int(tile) // multiple) * multiple
        if options.asked.overlap == "auto":
            overlap = min(OVERLAP, tile // 2 if tile >= 2 * OVERLAP else tile * 3 // 8)
        else:
            overlap = min(int(options.asked.overlap), tile // 2)
        intensities = choose_intensities(options.image, layout, options.intensity)
        grid = TileGrid(height, width, tile, overlap, multiple)
        return cls(options, model, grid, intensities, removed, started, begin)
