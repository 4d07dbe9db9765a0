"""The user's own images for fine-tuning: found, paired, read and checked before any step.

One message names everything that is wrong with them, and what to do about it.
"""

from __future__ import annotations

import fnmatch
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import BaryIRError, DataError
from napari_baryir.imaging.axes import PlaneLayout, guess_axes
from napari_baryir.training.data.images import find_images, listed, pair_by_key, read_pixels
from napari_baryir.training.names import SMALLEST_SIDE

PARTS = 5
"""Number of parts that one image is cut into; one of them is kept for validation."""
LEAST_SIDE = 64
"""Pixels; of the parts that a plane is cut into where there are no planes to part."""


@dataclass(frozen=True, eq=False)
class UserImage:
    """An image of the user's, a file or an array (a layer's, say), not yet read."""

    name: str
    """For messages and the model card."""
    path: Path | None = None
    """The file that it is read from; None: `array` holds it."""
    array: Any = None
    """Pixels of any real dtype and 2 to 6 dimensions."""
    axes: str | None = None
    """Axes of `array`; None: guessed."""

    @classmethod
    def of_path(cls, path: str | os.PathLike[str]) -> UserImage:
        """Take a file."""
        return cls(os.fspath(path), Path(path))

    def read(self) -> tuple[NDArray[Any], str]:
        """Read pixels and axes.

        Raises `InputError` if the file is missing or damaged, or the axes do not fit.
        """
        if self.path is not None:
            return read_pixels(self.path)
        array = np.asarray(self.array)
        axes = guess_axes(array.shape) if self.axes is None else self.axes
        PlaneLayout.of(array, axes)
        return array, axes.upper()


@dataclass(frozen=True)
class Usable:
    """An image that was read and found usable."""

    name: str
    array: NDArray[Any]
    axes: str
    whole: Usable | None = None
    """The image that it is a part of, whose intensities it is seen with."""

    @property
    def layout(self) -> PlaneLayout:
        """Return the layout of its planes."""
        return PlaneLayout.of(self.array, self.axes)


def list_images(folder: str | os.PathLike[str]) -> tuple[list[UserImage], list[str]]:
    """List the images of a folder and the folders in it, and what is wrong with it."""
    root = Path(folder)
    try:
        found = find_images(root)
    except DataError as error:
        return [], [str(error)]
    return [UserImage(path.relative_to(root).as_posix(), path) for path in found], []


def pair_by_pattern(
    images: Sequence[UserImage], patterns: tuple[str, str]
) -> tuple[list[tuple[UserImage, UserImage]], list[str]]:
    """Pair images of one folder: what the one * of each pattern stands for must be equal."""
    wrong = [pattern for pattern in patterns if pattern.count("*") != 1]
    if wrong:
        return [], [
            f"pattern {pattern!r} has {pattern.count('*')} stars; write one, where the names of a "
            "pair agree, for example '*_low.tif' and '*_high.tif'"
            for pattern in wrong
        ]
    sides = []
    for pattern in patterns:
        head, tail = pattern.split("*")
        sides.append(
            [
                (image.name[len(head) : len(image.name) - len(tail)], image.name, image)
                for image in images
                if len(image.name) >= len(head) + len(tail)
                and fnmatch.fnmatchcase(image.name, pattern)
            ]
        )
    empty = [p for p, side in zip(patterns, sides, strict=True) if not side]
    if empty:
        return [], [
            f"no image is named {p}; the folder has {images[0].name if images else 'none'}"
            for p in empty
        ]
    return pair_by_key(sides[0], sides[1], patterns)


def open_image(image: UserImage, problems: list[str]) -> Usable | None:
    """Read an image; what makes it useless is added to `problems`, and None returned."""
    try:
        array, axes = image.read()
        layout = PlaneLayout.of(array, axes)
    except (BaryIRError, OSError) as error:
        text = str(error)
        named = text if image.name in text else f"{image.name}: {text}"
        problems.append(f"{named}; repair it, or take it out")
        return None
    height, width = layout.height, layout.width
    if min(height, width) < SMALLEST_SIDE:
        problems.append(
            f"{image.name} is {height} x {width} pixels, too small to learn from; "
            f"give images of {SMALLEST_SIDE} x {SMALLEST_SIDE} or more"
        )
    elif array.dtype.kind not in "uif":
        problems.append(f"{image.name} is {array.dtype}; save it as integers or floats")
    elif array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        problems.append(
            f"{image.name} has values that are not finite (NaN or infinite); replace them"
        )
    elif array.min() == array.max():
        problems.append(f"{image.name} is {array.flat[0]} everywhere; take it out")
    else:
        return Usable(image.name, array, axes)
    return None


def pair_problem(degraded: Usable, clean: Usable) -> str | None:
    """Say why two images cannot be a pair; None if they can."""
    a, b = degraded.layout, clean.layout
    if a.rgb != b.rgb:
        kinds = ["RGB" if layout.rgb else "grey" for layout in (a, b)]
        return (
            f"{degraded.name} is {kinds[0]} but its partner {clean.name} is {kinds[1]}; "
            "convert one of them"
        )
    # Alpha is not compared: it is not used.
    if (a.height, a.width, a.outer_shape) != (b.height, b.width, b.outer_shape):
        return (
            f"{degraded.name} is {degraded.axes} of shape {a.shape} but its partner {clean.name} "
            f"is {clean.axes} of shape {b.shape}; crop or resize them, so that pixel lies on pixel"
        )
    if degraded.array.shape == clean.array.shape and np.array_equal(degraded.array, clean.array):
        return (
            f"{degraded.name} and its partner {clean.name} are equal, so that there is nothing to "
            "learn; check which folder is which"
        )
    return None


def colour_problem(images: Sequence[Usable]) -> str | None:
    """Say which images are of another kind than most."""
    rgb = [image.layout.rgb for image in images]
    if not images or all(rgb) or not any(rgb):
        return None
    most = sum(rgb) * 2 >= len(rgb)
    odd = [image.name for image, is_rgb in zip(images, rgb, strict=True) if is_rgb != most]
    kinds = ("grey", "RGB") if most else ("RGB", "grey")
    return (
        f"{listed(odd, 5)}: {kinds[0]}, but the others are {kinds[1]}; "
        "fine-tune on one kind at a time"
    )


def parts_of(rows: Sequence[tuple[Usable, ...]], problems: list[str]) -> list[tuple[Usable, ...]]:
    """Cut the only row there is into parts, along time or depth, else along its longer side.

    Rows are images, or pairs of images of the same shape; more than one are left as they are. The
    parts keep the intensity map of the whole image, which is the one that restoring uses. An image
    that is too small to cut is added to `problems`.
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


def _cut(image: Usable) -> tuple[int, int]:
    """Choose the dimension to cut, and into how many parts."""
    lengths = dict(zip(image.axes, image.array.shape, strict=True))
    planes = {letter: lengths[letter] for letter in "TZ" if lengths.get(letter, 1) > 1}
    if planes:
        letter = max(planes, key=lambda name: planes[name])
        return image.axes.index(letter), min(PARTS, planes[letter])
    letter = "Y" if lengths["Y"] >= lengths["X"] else "X"
    return image.axes.index(letter), min(PARTS, lengths[letter] // LEAST_SIDE)


def _part(image: Usable, axis: int, start: int, stop: int) -> Usable:
    slices = [slice(None)] * image.array.ndim
    slices[axis] = slice(start, stop)
    name = f"{image.name} [{image.axes[axis]} {start} to {stop - 1}]"
    return replace(image, name=name, array=image.array[tuple(slices)], whole=image)
