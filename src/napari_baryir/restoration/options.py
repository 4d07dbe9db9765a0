"""Check the arguments of restoring."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from napari_baryir.devices import Precision, choose_device, choose_precision
from napari_baryir.errors import InputError
from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.checks import as_array, axes_of_dims, check_image
from napari_baryir.imaging.intensity import IntensityMap, IntensityMode, check_mode
from napari_baryir.restoration.portable_model import check_model

OneIntensity = IntensityMap | Mapping[str, Any] | tuple[float, float]
Intensity = str | OneIntensity | Sequence[OneIntensity]
"""An `IntensityMode`, or a map, its values as a mapping, or a pair; or one of these per channel."""

LEAST_TILE = 16
"""Pixels; two cells of the network's grid, the least that can overlap."""

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
    """The options as they were given, strength and ensemble as float and bool; "auto" is decided
    where a task runs."""
    device: torch.device
    precision: Precision
    intensity: IntensityMode | tuple[IntensityMap, ...]
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
    axes = axes_of_dims(image) if asked.axes is None else asked.axes
    layout, guessed = check_image(array, axes)
    check_model(asked.model)
    device = choose_device(asked.device)
    asked = replace(
        asked, strength=_check_strength(asked.strength), ensemble=_check_ensemble(asked.ensemble)
    )
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


def _check_strength(strength: Any) -> float:
    if isinstance(strength, numbers.Real) and 0 <= float(strength) <= 1:
        return float(strength)
    raise InputError(f"strength is {strength!r}; give a number from 0 (input) to 1 (restored)")


def _check_ensemble(ensemble: Any) -> bool:
    if isinstance(ensemble, bool | np.bool_ | int):
        return bool(ensemble)
    raise InputError(f"ensemble is {ensemble!r}; give True or False")


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


def _check_intensity(intensity: Any, channels: int) -> IntensityMode | tuple[IntensityMap, ...]:
    if isinstance(intensity, str):
        return check_mode(intensity)
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
