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

from napari_baryir.errors import InputError
from napari_baryir.imaging.checks import is_dask, is_labelled
from napari_baryir.restoration.options import (
    Intensity,
    Options,
    Remove,
    RestoreOptions,
    check_options,
)
from napari_baryir.restoration.plan import Plan
from napari_baryir.restoration.planes import PlaneRestorer, iter_planes
from napari_baryir.restoration.results import Progress, Restoration
from napari_baryir.steps import finish

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
    progress: bool = False,
) -> Restoration:
    """Restore an image.

    Parameters
    ----------
    image
        NumPy, dask or zarr array of 2 or more dimensions, 8 to 64 bit integer or float; each RGB(A)
        or single-channel plane is restored by itself. Never changed. Or a DataArray of xarray.
    axes
        One letter of T, Z, C, Y, X, S (RGB samples) per dimension; None: the dims of xarray, or a
        guess from the shape.
    model
        "auto" (photo-compact for RGB, microscopy-compact for the rest), a name, the path of a
        weights file, or a network.
    device
        "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1" or "mps".
    precision
        "auto" (bfloat16 where it is faster, else float32), "float32", "bfloat16" or "float16".
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
    progress
        Whether to show a bar, of tiles, on the terminal or in a notebook.

    Returns
    -------
    Restoration
        Its `image` is NumPy for NumPy, a lazy dask array for dask and zarr, or `out`. For xarray it
        is the same DataArray with the restored values.

    Raises
    ------
    InputError
        If the image or an option cannot be used.
    WeightsError
        If the model is unknown or damaged.
    DeviceError
        If the device is not there, or out of memory with the smallest tile.
    """
    steps = iter_restore(
        image, axes=axes, model=model, device=device, precision=precision, tile=tile,
        overlap=overlap, intensity=intensity, strength=strength, ensemble=ensemble, remove=remove,
        out=out,
    )  # fmt: skip
    return finish(steps, progress=progress)


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
    """Restore an image step by step; arguments, result and errors as for `restore`.

    The arguments are checked at once; the network is loaded and the work planned with the first
    step, which yields a `Progress` with nothing done; one more follows after every tile, and none
    where the result is lazy. Closing the generator stops the work; then only `out`, where given,
    holds what was finished.

    `first` is the plane to begin with, the others following by distance: its number, or one index
    per axis other than Y, X and S, None where any will do.
    """
    asked = RestoreOptions(
        axes, model, device, precision, tile, overlap, intensity, strength, ensemble, remove
    )
    options = check_options(image, asked, out, first)
    steps = _lazily(options) if out is None and is_dask(options.image) else _at_once(options)
    return _labelled(steps, image) if out is None and is_labelled(image) else steps


def _labelled(
    steps: Generator[Progress, None, Restoration], image: Any
) -> Generator[Progress, None, Restoration]:
    """Give the result the names, coordinates and attributes of `image`."""
    done = yield from steps
    return replace(done, image=image.copy(data=done.image))


def result_of(
    plan: Plan,
    image: Any,
    tile: int | None,
    non_finite: int | None,
    change: float | None = None,
) -> Restoration:
    """Return the record of the run with the restored `image`."""
    options = plan.options
    return Restoration(
        image=image,
        axes=plan.layout.axes,
        strength=options.asked.strength,
        ensemble=options.asked.ensemble,
        remove="auto" if options.remove is None else options.remove,
        non_finite=non_finite,
        change=change,
        **plan.provenance(tile),
    )


def _at_once(options: Options) -> Generator[Progress, None, Restoration]:
    """Restore into an array, yielding after every tile."""
    plan = Plan.of(options)
    engine = plan.engine()
    steps = iter_planes(plan, lambda plane, intensity: restorer.restore(plane, intensity))
    yield next(steps)
    image = options.image
    out = np.empty(image.shape, image.dtype) if options.out is None else options.out
    restorer = PlaneRestorer(engine, plan, out)
    for progress in steps:
        finished = progress.plane_index if isinstance(out, np.ndarray) else None
        yield progress if finished is None else replace(progress, array=out[finished])
    layout, invalid = plan.layout, restorer.non_finite.total()
    if invalid == image.size // layout.samples * layout.colours:
        raise InputError(
            f"the image has no finite values: all {invalid} are NaN or infinite, and there is "
            "nothing to restore; look at how it was made or saved"
        )
    return result_of(plan, out, engine.largest, invalid, restorer.change)


def _lazily(options: Options) -> Generator[Progress, None, Restoration]:
    """Plan a dask array that restores when it is computed; yields nothing."""
    yield from ()
    from napari_baryir.restoration.lazy import restore_lazily

    plan = Plan.of(options)
    return result_of(plan, restore_lazily(plan), None, None)
