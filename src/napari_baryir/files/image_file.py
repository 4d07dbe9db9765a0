"""Hold an image of a file: pixels, axes, and the metadata to write it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class Details(Protocol):
    """Metadata that only the format of an image has; each format has its own class."""

    def only_here(self) -> tuple[str, ...]:
        """Name what another format cannot keep."""


class Resource(Protocol):
    """An open file behind a lazy array."""

    def close(self) -> None:
        """Let go of the file."""


@dataclass(frozen=True)
class ImageFile:
    """An image from a file.

    As a context manager it closes the file that lazy data is read from.
    """

    path: Path
    """The path that it was read from."""
    format: str
    """Key of `formats.FORMATS`."""
    data: Any
    """NumPy array, or a dask array where the image is large and the format allows it."""
    axes: str
    """One letter of T, Z, C, Y, X, S for each dimension of `data`."""
    axes_guessed: bool = False
    """Whether the file leaves open what some of the axes are."""
    scale: Mapping[str, float] = field(default_factory=dict)
    """Step between pixels for those axes (letters) where it is known."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit of `scale`, in full ("micrometer", "second"), for those axes where it is known."""
    channel_names: tuple[str, ...] = ()
    """One for each channel, or none."""
    icc_profile: bytes | None = None
    """Colour profile."""
    exif: bytes | None = None
    """EXIF block of a photograph, with the orientation already applied to `data`."""
    dpi: tuple[float, float] | None = None
    """Dots per inch along X and Y, where a file gives them."""
    details: Details | None = None
    """Metadata that only its own format can keep."""
    notes: tuple[str, ...] = ()
    """Remarks on parts of the file that are not read, or cannot be kept; one sentence each."""
    resource: Resource | None = None
    """The open file behind lazy data."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the lengths of the axes."""
        return tuple(int(n) for n in self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, by its size: C's long long is int64, which Zarr would not know."""
        dtype: np.dtype[Any] = np.dtype(np.dtype(self.data.dtype).str)
        return dtype

    @property
    def samples(self) -> int:
        """Return the length of axis S; 1 without one."""
        return self.shape[self.axes.index("S")] if "S" in self.axes else 1

    def __enter__(self) -> ImageFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file behind lazy data; reading `data` is then over."""
        if self.resource is not None:
            self.resource.close()


def upright(array: Any, axes: str, turn: int) -> Any:
    """Turn and mirror a picture as its orientation, 1 to 8 in EXIF and TIFF, says."""
    y, x = axes.index("Y"), axes.index("X")
    if turn >= 5:
        array = array.swapaxes(y, x)
    flips = {y: turn in (3, 4, 7, 8), x: turn in (2, 3, 6, 7)}
    return array[tuple(slice(None, None, -1 if flips.get(i) else 1) for i in range(array.ndim))]
