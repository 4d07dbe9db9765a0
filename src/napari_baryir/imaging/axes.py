"""An image of any axes as a row of planes, and back."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import InputError

AXES = "TZCYXS"
"""Time, depth, channel, height, width, samples (RGB, RGBA, or grey with alpha)."""

COLOURS = {1: 1, 2: 1, 3: 3, 4: 3}
"""Length of S to the number of colours in it; the rest is alpha."""

FEW = 4
"""An axis of at most this length is taken for channels where there is a choice."""

MOST_CHANNELS = 16
"""A last axis of at most this length is channels, if height and width are `FEW` times as long."""

NAMES = {
    "time": "T", "frame": "T", "depth": "Z", "plane": "Z", "slice": "Z", "channel": "C",
    "band": "C", "height": "Y", "row": "Y", "width": "X", "column": "X", "rgb": "S", "rgba": "S",
    "sample": "S", **{letter.lower(): letter for letter in AXES},
}  # fmt: skip
"""Names of dimensions in xarray and of axes in napari, in small letters and the singular, to our
letters."""


def axis_named(name: Hashable) -> str:
    """Return the axis that a name such as "time" or "channels" means; "" if it is not known."""
    word = str(name).strip().lower()
    return NAMES.get(word) or NAMES.get(word.removesuffix("s"), "")


def named_axes(names: Iterable[Hashable]) -> str | None:
    """Return the axes that names mean; None unless all mean different ones, Y and X among them."""
    letters = [axis_named(name) for name in names]
    known = "" not in letters and len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters)
    return "".join(letters) if known else None


def guess_axes(shape: Sequence[int]) -> str:
    """Guess one letter of T, Z, C, Y, X, S for each of 2 to 6 dimensions.

    A last dimension of 3 or 4 is RGB or RGBA, another one that is much shorter than the two before
    it is channels; before it, or last, come height and width. A dimension of 2 to 4 before these is
    channels, the others are depth, and time before depth. Raises `InputError` where there are too
    few dimensions, or too many.
    """
    ndim = len(shape)
    if ndim < 2:
        raise InputError(
            f"the image has {ndim} dimension{'s' * (ndim != 1)} (shape {tuple(shape)}); "
            "at least height and width are needed"
        )
    colour = ndim >= 3 and shape[-1] in (3, 4)
    narrow = ndim in (3, 4, 5) and min(shape[-3:-1]) >= FEW * shape[-1] and not colour
    if narrow and 1 <= shape[-1] <= MOST_CHANNELS:
        return "TZ"[5 - ndim :] + "YXC"
    plane = "YXS" if colour else "YX"
    outer = tuple(shape[: ndim - len(plane)])
    if len(outer) > 3:
        raise InputError(
            f"cannot guess the axes of {ndim} dimensions (shape {tuple(shape)}); "
            f"name each with a letter of {AXES}, or select a part of the image first"
        )
    if len(outer) == 3:  # TZCYX as ImageJ has it, or TCZYX as OME-Zarr does
        return ("TCZ" if 2 <= outer[1] <= FEW < outer[2] else "TZC") + plane
    few = [i for i, length in enumerate(outer) if 2 <= length <= FEW]
    if few and not colour:
        return "".join("C" if i == few[-1] else "Z" for i in range(len(outer))) + plane
    return "TZ"[2 - len(outer) :] + plane


def check_axes(axes: str, shape: Sequence[int]) -> str:
    """Return `axes` in capitals if they fit an image of this shape.

    Raises `InputError` if a letter is unknown, repeated, missing (Y and X) or too many, if S is not
    1 to 4 long, or if a dimension is empty.
    """
    if not isinstance(axes, str):
        raise InputError(f"axes must be a string over {AXES}, for example 'TYX', not {axes!r}")
    upper = axes.upper()
    unknown = sorted(set(upper) - set(AXES))
    if unknown:
        raise InputError(f"axes {axes!r} has {', '.join(unknown)}; the letters are {AXES}")
    repeated = sorted({letter for letter in upper if upper.count(letter) > 1})
    if repeated:
        raise InputError(f"axes {axes!r} has {', '.join(repeated)} more than once")
    if len(upper) != len(shape):
        many = f"{len(upper)} letter{'s' * (len(upper) != 1)}"
        advice = "add the missing" if len(upper) < len(shape) else "leave out the superfluous"
        raise InputError(
            f"axes {axes!r} has {many} but the image has {len(shape)} dimensions "
            f"(shape {tuple(shape)}); {advice} letters"
        )
    if not {"Y", "X"} <= set(upper):
        raise InputError(f"axes {axes!r} must have Y (height) and X (width)")
    if 0 in shape:
        raise InputError(f"the image is empty (shape {tuple(shape)}); nothing can be restored")
    samples = shape[upper.index("S")] if "S" in upper else 1
    if samples not in COLOURS:
        raise InputError(
            f"axis S of {axes!r} is {samples} long, but colour samples are RGB (3), RGBA (4), grey "
            "(1) or grey with alpha (2); name it C to restore each channel by itself"
        )
    return upper


@dataclass(frozen=True)
class PlaneLayout:
    """The planes that an image consists of, and where each lies.

    A plane is what the network sees at once: height, width and colour samples; every other axis
    counts planes, in the image's own order. `axes` and `shape` must have passed `check_axes`.
    """

    axes: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, image: Any, axes: str) -> PlaneLayout:
        """Return the layout of an array; raises `InputError` where the axes do not fit."""
        return cls(check_axes(axes, image.shape), tuple(int(n) for n in image.shape))

    @property
    def outer(self) -> tuple[int, ...]:
        """Return the positions of the axes that count planes."""
        return tuple(i for i, letter in enumerate(self.axes) if letter not in "YXS")

    @property
    def outer_shape(self) -> tuple[int, ...]:
        """Return the lengths of the axes that count planes."""
        return tuple(self.shape[i] for i in self.outer)

    @property
    def planes(self) -> int:
        return math.prod(self.outer_shape)

    @property
    def height(self) -> int:
        return self.shape[self.axes.index("Y")]

    @property
    def width(self) -> int:
        return self.shape[self.axes.index("X")]

    @property
    def samples(self) -> int:
        """Return the length of S, alpha included; 1 without S."""
        return self.shape[self.axes.index("S")] if "S" in self.axes else 1

    @property
    def colours(self) -> int:
        """Return 3 for RGB and RGBA, otherwise 1."""
        return COLOURS[self.samples]

    @property
    def rgb(self) -> bool:
        """Return whether planes are colour pictures."""
        return self.colours == 3

    @property
    def channels(self) -> int:
        """Return the length of C; 1 without C."""
        return self.shape[self.axes.index("C")] if "C" in self.axes else 1

    def channel(self, plane: int) -> int:
        """Return the index along C of a plane; 0 without C."""
        if "C" not in self.axes:
            return 0
        axis = self.outer.index(self.axes.index("C"))
        return int(np.unravel_index(plane, self.outer_shape)[axis])

    def channel_values(self, array: Any, channel: int) -> Any:
        """Return the values of all planes of a channel, without alpha; as lazy as `array`."""
        index: list[Any] = [slice(None)] * len(self.axes)
        if "C" in self.axes:
            index[self.axes.index("C")] = slice(channel, channel + 1)
        if self.samples != self.colours:
            index[self.axes.index("S")] = slice(0, self.colours)
        return array[tuple(index)]

    def index(self, plane: int, rows: slice = slice(None)) -> tuple[int | slice, ...]:
        """Return the index into the image that selects (some rows of) one plane."""
        where = iter(np.unravel_index(plane, self.outer_shape) if self.outer else ())
        return tuple(
            rows if letter == "Y" else slice(None) if letter in "XS" else int(next(where))
            for letter in self.axes
        )

    def read(self, array: Any, plane: int, rows: slice = slice(None)) -> NDArray[Any]:
        """Return some rows of one plane, (rows, X, samples), computed if `array` is lazy.

        The values are not copied where `array` is NumPy.
        """
        values = np.asarray(array[self.index(plane, rows)])
        order = self._inner()
        values = values.transpose([order.index(letter) for letter in "YXS" if letter in order])
        return values if "S" in order else values[..., np.newaxis]

    def write(self, out: Any, plane: int, rows: slice, values: NDArray[Any]) -> None:
        """Put (rows, X, samples) into `out`, an array of the image's shape."""
        order = self._inner()
        values = values if "S" in order else values[..., 0]
        letters = [letter for letter in "YXS" if letter in order]
        out[self.index(plane, rows)] = values.transpose([letters.index(a) for a in order])

    def planes_nearest_first(self, first: int | Sequence[int | None] | None) -> list[int]:
        """Order the planes so that they start at `first` and go on with its neighbours.

        `first` is a plane's number, or one index per axis that counts planes (None where any will
        do), or None for the image's own order. Raises `InputError` if there is no such plane.
        """
        if first is None:
            return list(range(self.planes))
        shape: tuple[int, ...]
        start: tuple[int | None, ...]
        if isinstance(first, int | np.integer):
            shape, start, expected = (self.planes,), (int(first),), f"0 to {self.planes - 1}"
        else:
            letters = "".join(self.axes[i] for i in self.outer)
            shape, start = self.outer_shape, tuple(first)
            expected = f"{letters} within {shape}"
        fits = len(start) == len(shape) and all(
            at is None or 0 <= at < length for at, length in zip(start, shape, strict=True)
        )
        if not fits:
            raise InputError(f"there is no plane {first} to restore first; expected {expected}")
        distance = np.zeros(shape, dtype=np.int64)
        for axis, at in enumerate(start):
            if at is not None:
                steps = np.abs(np.arange(shape[axis]) - at)
                distance += steps.reshape([-1 if i == axis else 1 for i in range(len(shape))])
        return [int(plane) for plane in np.argsort(distance, axis=None, kind="stable")]

    def _inner(self) -> str:
        return "".join(letter for letter in self.axes if letter in "YXS")
