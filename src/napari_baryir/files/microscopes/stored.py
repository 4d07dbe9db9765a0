"""Describe an image as a microscope's file holds it, and what reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

MICROMETERS = 1e6
"""In a meter, which CZI and LIF count in."""


@dataclass(frozen=True)
class Stored:
    """An image, with its axes as its file names them."""

    data: Any
    """NumPy array, or a dask array where the image is large."""
    dims: tuple[str, ...]
    """Names of the axes; the last two, before "S" for RGB samples, are those of the picture."""
    steps: Mapping[str, float] = field(default_factory=dict)
    """Step between pixels along those axes (names) where it is known: micrometers, or seconds."""
    channel_names: tuple[str, ...] = ()
    """One for each channel, or none."""


class Reader(Protocol):
    """An open file."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its images, maybe empty; one for each image."""

    def image(self, number: int) -> Stored:
        """Return the image of this number, from 0."""

    def close(self) -> None:
        """Let go of the file; reading lazy pixels is then over."""
