"""Restore an image of any axes, dtype and size.

`restore` does it in one go; `iter_restore` yields `Progress` after every tile, and stops computing
when it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from napari_baryir.imaging.checks import is_dask
from napari_baryir.restoration.engine import TileEngine
from napari_baryir.restoration.options import (
    Intensity,
    Options,
    Plan,
    Remove,
    RestoreOptions,
    check_options,
)
from napari_baryir.restoration.planes import PlaneRestorer, iter_planes
from napari_baryir.restoration.results import Progress, Restoration
from napari_baryir.steps import finish
from napari_baryir.version import __version__

__all__ = ["Progress", "Restoration", "iter_restore", "restore"]


def restore(
    image: Any,
    *,
    axes: str | None = None,
    model: str | os.PathLike[str] | nn.Module = "auto",
    device: str | torch.device = "auto",
    precision: str = "auto",
    tile: int | Literal["auto", "whole"] = "auto",
    overlap: int | Literal["auto"] = "auto",
    intensity: Intensity = "auto",
    strength: float = 1.0,
    ensemble: bool = False,
    remove: Remove = "auto",
    out: Any = None,
) -> Restoration:
    """Restore an image.

    Parameters
    ----------
    image
        NumPy, dask or zarr array of 2 or more dimensions, 8 to 64 bit integer or float; each RGB(A)
        or single-channel plane is restored by itself. Never changed.
    axes
        One letter of T, Z, C, Y, X, S (RGB samples) per dimension; None guesses from the shape.
    model
        "auto" (photo-compact for RGB, microscopy-compact for the rest), a name, the path of a
        weights file, or a network.
    device
        "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1" or "mps".
    precision
        "auto" (bfloat16 on CUDA, float32 elsewhere), "float32", "bfloat16" or "float16".
    tile
        Greatest side of the tiles, pixels, at least 16; "auto": by free memory; "whole": no tiles.
    overlap
        Least overlap of neighbouring tiles, pixels, at most half of `tile`.
    intensity
        Map of the values to the network's [0, 1]: "auto", "full", "percentile", a pair
        (low, high), an `IntensityMap`, or a sequence of such, one per channel.
    strength
        1 for the restored image, 0 for the input, between for a blend.
    ensemble
        Average over the 8 flips and rotations: 8 times slower, slightly better.
    remove
        "auto" for everything that the model knows; or names of its degradations, in a string with
        commas or a sequence, or a mapping of names to amounts from 0 to 1. What is not named stays:
        ``remove="noise"`` denoises and leaves the fog.
    out
        Array to write into, of the image's shape and dtype, for instance zarr. With it, lazy images
        are computed at once, one row of tiles at a time.

    Returns
    -------
    Restoration
        Its `image` is NumPy for NumPy, a lazy dask array for dask and zarr, or `out`.

    Raises
    ------
    InputError
        If the image or an option cannot be used.
    WeightsError
        If the model is unknown or damaged.
    DeviceError
        If the device is not there, or out of memory with the smallest tile.
    """
    asked = RestoreOptions(
        axes, model, device, precision, tile, overlap, intensity, strength, ensemble, remove
    )
    return finish(start_restoring(image, asked, out))


def iter_restore(
    image: Any,
    *,
    axes: str | None = None,
    model: str | os.PathLike[str] | nn.Module = "auto",
    device: str | torch.device = "auto",
    precision: str = "auto",
    tile: int | Literal["auto", "whole"] = "auto",
    overlap: int | Literal["auto"] = "auto",
    intensity: Intensity = "auto",
    strength: float = 1.0,
    ensemble: bool = False,
    remove: Remove = "auto",
    out: Any = None,
    first: int | Sequence[int | None] | None = None,
) -> Generator[Progress, None, Restoration]:
    """Restore an image step by step.

    The arguments are checked at once; the network is loaded and the work planned with the first
    step, which yields a `Progress` with nothing done. Closing the generator stops the work; then
    only `out`, where given, holds what was finished.

    Parameters
    ----------
    image, axes, model, device, precision, tile, overlap, intensity, strength, ensemble, remove, out
        As for `restore`.
    first
        The plane to begin with, the others following by distance: its number, or one index per
        axis other than Y, X and S, None where any will do.

    Yields
    ------
    Progress
        Planned, then after every tile. Nothing where the result is lazy.

    Returns
    -------
    Restoration
        As `restore`.

    Raises
    ------
    InputError, WeightsError, DeviceError
        As `restore`.
    """
    asked = RestoreOptions(
        axes, model, device, precision, tile, overlap, intensity, strength, ensemble, remove
    )
    return start_restoring(image, asked, out, first)


def start_restoring(
    image: Any,
    asked: RestoreOptions,
    out: Any = None,
    first: int | Sequence[int | None] | None = None,
) -> Generator[Progress, None, Restoration]:
    """Restore step by step as `iter_restore`, with the options in one record."""
    options = check_options(image, asked, out, first)
    return _lazily(options) if out is None and is_dask(options.image) else _at_once(options)


def result_of(plan: Plan, image: Any, tile: int, non_finite: int | None) -> Restoration:
    """Return the record of the run with the restored `image`."""
    options = plan.options
    return Restoration(
        image=image,
        axes=options.layout.axes,
        axes_guessed=options.axes_guessed,
        model=plan.source.name,
        weights_hash=plan.source.weights_hash,
        intensity=plan.intensities,
        device=str(options.device),
        precision=options.precision,
        tile=tile,
        overlap=plan.grid.overlap,
        strength=options.strength,
        ensemble=bool(options.asked.ensemble),
        remove="auto" if options.remove is None else options.remove,
        non_finite=non_finite,
        seconds=plan.seconds,
        started=plan.started.isoformat(timespec="seconds"),
        version=__version__,
    )


def _at_once(options: Options) -> Generator[Progress, None, Restoration]:
    """Restore into an array, yielding after every tile."""
    plan = Plan.of(options)
    layout, grid = options.layout, plan.grid
    engine = TileEngine(
        plan.source.load(),
        options.device,
        options.precision,
        ensemble=bool(options.asked.ensemble),
        removed=plan.removed,
        overlap=grid.overlap,
    )
    steps = iter_planes(plan, lambda plane, intensity: restorer.restore(plane, intensity))
    yield next(steps)
    out = np.empty(layout.shape, options.image.dtype) if options.out is None else options.out
    restorer = PlaneRestorer(
        engine, options.image, out, layout, grid, options.strength, plan.denoises
    )
    for progress in steps:
        finished = progress.plane_index if isinstance(out, np.ndarray) else None
        yield progress if finished is None else replace(progress, array=out[finished])
    tile = min(grid.tile, engine.largest or grid.tile)
    return result_of(plan, out, tile, sum(restorer.non_finite))


def _lazily(options: Options) -> Generator[Progress, None, Restoration]:
    """Plan a dask array that restores when it is computed; yields nothing."""
    yield from ()
    from napari_baryir.restoration.lazy import RestoreTiles, TiledPlanes

    plan = Plan.of(options)
    tiles = RestoreTiles.of(plan)
    image = TiledPlanes(options.layout, plan.grid, tiles).restore(
        options.image, plan.intensities, options.strength, plan.denoises
    )
    return result_of(plan, image, plan.grid.tile, None)
