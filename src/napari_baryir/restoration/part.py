"""Restore a part of a plane as it will be in the whole image: same scene, same intensities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import InputError
from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.tiles import Span, pad_to
from napari_baryir.restoration.options import RestoreOptions, check_options
from napari_baryir.restoration.plan import Plan
from napari_baryir.restoration.planes import add_change, look_at, to_unit
from napari_baryir.restoration.restoration import result_of
from napari_baryir.restoration.results import Restoration

AROUND = 64
"""Pixels that the network sees on each side of the part. On a noisy photograph, parts of 256 pixels
then differ from the whole image by at most 0.012 of the range (with 32: 0.038; with 96: 0.003)."""


def restore_part(image: Any, part: Sequence[slice], asked: RestoreOptions) -> Restoration:
    """Restore a part of one plane, in one tile.

    Parameters
    ----------
    image
        NumPy, dask or zarr. The whole plane is read where the network looks at scenes.
    part
        A slice with start and stop per dimension, one long along axes that count planes.
    asked
        The options for the whole image.

    Returns
    -------
    Restoration
        Its `image` is NumPy, of the shape of the part; its settings are those of the whole image.

    Raises
    ------
    InputError
        If an option cannot be used, or the part has several planes.
    WeightsError, DeviceError
        As `napari_baryir.restore`.
    """
    options = check_options(image, asked)
    layout = options.layout
    spans = [Span(each.start, each.stop) for each in part]
    if any(spans[axis].size != 1 for axis in layout.outer):
        raise InputError("the part has several planes; choose one of them")
    plane = layout.planes_nearest_first([spans[axis].start for axis in layout.outer])[0]
    plan = Plan.of(options)
    rows, columns = (spans[layout.axes.index(letter)] for letter in "YX")
    restored = np.array(options.image[tuple(part)])
    inside = PlaneLayout(layout.axes, restored.shape)
    change, intensity = _change(plan, plane, rows, columns), plan.intensities[layout.channel(plane)]
    if change is not None:
        values = inside.read(restored, 0).copy()
        colours = values[..., : layout.colours]
        strength = options.asked.strength
        colours[...] = add_change(colours, change, intensity, strength, plan.denoises)
        inside.write(restored, 0, slice(None), values)
    return result_of(plan, restored, plan.grid.tile, 0)


def _change(plan: Plan, plane: int, rows: Span, columns: Span) -> NDArray[np.float32] | None:
    """Return what the network changes in a part of a plane, (H, W, C); None for a flat plane."""
    layout, engine = plan.layout, plan.engine()
    intensity = plan.intensities[layout.channel(plane)]
    if not look_at(plan, plane, intensity, engine):
        return None
    tall = _with_surroundings(rows, layout.height, engine.multiple)
    wide = _with_surroundings(columns, layout.width, engine.multiple)
    shown = layout.read(plan.options.image, plane, tall.within(layout.height))
    shown = shown[:, wide.within(layout.width), : layout.colours]
    unit = to_unit(shown, intensity, denoise=plan.denoises)
    engine.corner = tall.start, wide.start
    change = engine.change(pad_to(unit, tall.size, wide.size))
    top, left = rows.start - tall.start, columns.start - wide.start
    return change[top : top + rows.size, left : left + columns.size]


def _with_surroundings(span: Span, length: int, multiple: int) -> Span:
    """Return a greater span on the network's grid; its last cell may lie partly outside."""
    start = max(0, span.start - AROUND) // multiple * multiple
    return Span(start, -(-min(length, span.stop + AROUND) // multiple) * multiple)
