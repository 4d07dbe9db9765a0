"""One image alone, parted so that a share of it is left to validate by."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from napari_baryir.training.finetune.images import Opened

PARTS = 5
"""As many as give a fifth for validation."""
LEAST_SIDE = 64
"""Pixels; of the parts that a plane is cut into where there are no planes to part."""


def parts_of(rows: Sequence[tuple[Opened, ...]], problems: list[str]) -> list[tuple[Opened, ...]]:
    """Part the only row there is along time or depth, else along its longer side.

    The parts keep the intensity map of the whole image, which is the one that restoring uses.

    Parameters
    ----------
    rows
        Images, or pairs of images of the same shape. More than one are left as they are.
    problems
        What makes it impossible is added to it.
    """
    if len(rows) != 1:
        return list(rows)
    (row,) = rows
    axis, count = _cut(row[0])
    if count < 2:
        layout = row[0].layout
        problems.append(
            f"{row[0].name} is one plane of {layout.height} x {layout.width} pixels: there is "
            "nothing left to validate by; give two or more images, a stack, or one plane that is "
            f"at least {2 * LEAST_SIDE} pixels high or wide"
        )
        return []
    length = row[0].array.shape[axis]
    bounds = [round(i * length / count) for i in range(count + 1)]
    return [
        tuple(_part(image, axis, start, stop) for image in row)
        for start, stop in itertools.pairwise(bounds)
    ]


def _cut(image: Opened) -> tuple[int, int]:
    """Dimension to cut, and into how many parts."""
    lengths = dict(zip(image.axes, image.array.shape, strict=True))
    planes = {letter: lengths[letter] for letter in "TZ" if lengths.get(letter, 1) > 1}
    if planes:
        letter = max(planes, key=lambda name: planes[name])
        return image.axes.index(letter), min(PARTS, planes[letter])
    letter = "Y" if lengths["Y"] >= lengths["X"] else "X"
    return image.axes.index(letter), min(PARTS, lengths[letter] // LEAST_SIDE)


def _part(image: Opened, axis: int, start: int, stop: int) -> Opened:
    slices = [slice(None)] * image.array.ndim
    slices[axis] = slice(start, stop)
    name = f"{image.name} [{image.axes[axis]} {start} to {stop - 1}]"
    return replace(image, name=name, array=image.array[tuple(slices)], whole=image)
