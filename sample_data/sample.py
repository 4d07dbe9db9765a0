"""The record of a sample: degraded image, truth and axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Sample:
    """An image that was degraded on purpose, and its truth."""

    degraded: NDArray[Any]
    """uint8 photograph or uint16 microscopy, axes as `axes` says."""
    clean: NDArray[Any]
    """The truth: same shape, dtype and units."""
    axes: str
    """One letter of T, Z, C, Y, X, S for each dimension."""
    name: str
    """Short, fit for a file name."""
    title: str
    """One line on the content."""
