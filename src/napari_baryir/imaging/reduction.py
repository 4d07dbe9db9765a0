"""Reduce a plane to a small picture of all of it, by means over areas, row by row if need be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ENOUGH = 1e-3
"""Part of an area that has to hold data for its mean to count."""


def area_weights(length: int, size: int) -> NDArray[np.float32]:
    """Return how much each of `length` pixels counts in each of `size` equal areas.

    (size, length) float32; each row sums to 1. A pixel on the border of two areas is shared.
    """
    edges = np.arange(size + 1) * (length / size)
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: NDArray[np.float32] = (np.clip(covered, 0, None) * (size / length)).astype(np.float32)
    return weights


def with_data(unit: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return pixels (..., C) and, as a last channel, 1; all 0 where a pixel is `missing`."""
    data = ~missing.any(axis=-1, keepdims=True)
    return np.concatenate([np.where(data, unit, 0), data], axis=-1, dtype=np.float32)


def mean_of_data(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn the reduced `with_data`, (h, w, C + 1), into means of what is there, (h, w, C).

    Areas without data get the values of others, drawn at random: a smooth filling would look like
    haze, or like light that is out of focus.
    """
    picture, parts = sums[..., :-1], sums[..., -1:]
    if (parts > 1 - ENOUGH).all():
        return picture
    known = parts[..., 0] > ENOUGH
    picture = np.divide(picture, np.maximum(parts, ENOUGH), dtype=np.float32)
    if known.any():
        drawn = np.random.default_rng(0).integers(known.sum(), size=(~known).sum())
        picture[~known] = picture[known][drawn]
    return picture


class Reduction:
    """Reduces a plane (`height`, `width`, `colours`) that is read in bands of rows to `size`,
    pixels.
    """

    def __init__(self, height: int, width: int, size: tuple[int, int], colours: int) -> None:
        self._down = area_weights(height, size[0])
        self._right = area_weights(width, size[1])
        self._sums = np.zeros((*size, colours + 1), np.float32)

    def add(self, start: int, rows: NDArray[np.float32], missing: NDArray[np.bool_]) -> None:
        """Add rows (h, W, C) of the plane, the first of them number `start`.

        Pixels that are `missing` in a colour, (h, W, C), do not count.
        """
        data = with_data(rows, missing)
        narrow = np.einsum("hwc,jw->hjc", data, self._right, optimize=True)
        weights = self._down[:, start : start + len(rows)]
        self._sums += np.einsum("ih,hjc->ijc", weights, narrow, optimize=True)

    @property
    def picture(self) -> NDArray[np.float32]:
        """Return the reduced picture of the rows that have been added, `size` by `colours`."""
        return mean_of_data(self._sums)


def reduced(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Reduce a whole plane (H, W, C) to `size` by means over areas."""
    height, width, colours = plane.shape
    reduction = Reduction(height, width, size, colours)
    reduction.add(0, plane, np.zeros(plane.shape, bool))
    return reduction.picture
