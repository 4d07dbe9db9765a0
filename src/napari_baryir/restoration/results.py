"""The progress and the result of restoring."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.imaging.intensity import IntensityMap

SHOWN = 512
"""Longer side of the picture that a notebook shows, at most, in pixels."""

LITTLE = 0.005
"""A change below this counts as none: half a percent of the range, a PSNR to the input of 46 dB."""


def is_little(change: float | None) -> bool:
    """Return whether a change is known and counts as none."""
    return change is not None and change < LITTLE


@dataclass(frozen=True)
class Progress:
    """One more tile is done, or (the first of a run) the work is planned."""

    done: int
    """Tiles that are done."""
    total: int
    """Tiles in all."""
    plane: int
    """Number of the plane in work, in the image's order."""
    planes: int
    """Planes in all."""
    plane_index: tuple[int | slice, ...] | None = None
    """Set when this plane has just been finished: ``image[plane_index]`` is its original."""
    array: NDArray[Any] | None = None
    """The finished plane, as ``image[plane_index]`` lies, where the result is a NumPy array; a view
    of it, no copy."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a result was made."""

    axes_guessed: bool
    """Whether the axes of the image were guessed from its shape."""
    model: str
    """Name or path of the weights."""
    weights_hash: str | None
    """SHA-256 of the weights file; None for a network that never was in a file."""
    intensity: tuple[IntensityMap, ...]
    """The map to [0, 1], one per channel."""
    device: str
    precision: str
    tile: int
    """Greatest side of a tile, pixels; smaller than asked for where memory ran out."""
    overlap: int
    """Least overlap of neighbouring tiles, pixels."""
    seconds: float
    """Time taken; of planning only where the result is lazy."""
    started: str
    """Date and time, ISO 8601, UTC."""
    version: str

    def _settings(self, axes: str, **own: Any) -> dict[str, Any]:
        """Return JSON values that repeat the run, with those of one kind of result only."""
        return {
            "axes": axes,
            **self._values("model", "device", "precision", "tile", "overlap"),
            "intensity": [chosen.as_dict() for chosen in self.intensity],
            **own,
        }

    def _record(self, settings: dict[str, Any], **own: Any) -> dict[str, Any]:
        """Return JSON values to keep beside the result."""
        return {
            **self._values("version", "model", "weights_hash"),
            "settings": settings,
            **own,
            **self._values("axes_guessed", "started", "seconds"),
        }

    def _values(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Restoration(Provenance):
    """A restored image, and how it was made."""

    image: Any = field(repr=False)
    """The shape, dtype, axes and range are those that came in; alpha, NaN and inf too. NumPy for
    NumPy, a lazy dask array for dask and zarr, or `out` where that was given."""
    axes: str
    """One letter of T, Z, C, Y, X, S per dimension."""
    strength: float
    """1: restored; 0: the input; between: a blend."""
    ensemble: bool
    """Whether 8 flips and rotations were averaged."""
    remove: str | dict[str, float]
    """"auto" for everything; or the degradations that were to be removed, and how much of each."""
    non_finite: int | None
    """Values that were NaN or infinite, and still are; None where the result is lazy."""
    change: float | None
    """How far the result is from the input: the root mean square in the working range [0, 1], of
    the plane that changed most; the PSNR is -20 log10 of it, in dB. None where nobody has looked:
    of lazy results and previews."""

    @property
    def practically_unchanged(self) -> bool:
        """Return whether the result is known to differ from the input by very little."""
        return is_little(self.change)

    @property
    def lazy(self) -> bool:
        """Return whether nothing has been computed yet."""
        return self.non_finite is None

    def _repr_png_(self) -> bytes | None:
        """Return the middle plane as a PNG, which notebooks show; None if it is not computed."""
        if self.lazy or self.image is None:
            return None
        from PIL import Image

        from napari_baryir.imaging.axes import PlaneLayout
        from napari_baryir.imaging.checks import values_of

        array = values_of(self.image)
        layout = PlaneLayout.of(array, self.axes)
        plane = layout.planes // 2
        values = layout.read(array, plane)[..., : layout.colours]
        shown = np.nan_to_num(self.intensity[layout.channel(plane)].apply(values)).clip(0, 1)
        pixels = np.asarray(np.rint(shown * 255), np.uint8)
        picture = Image.fromarray(pixels if layout.rgb else pixels[..., 0])
        picture.thumbnail((SHOWN, SHOWN))
        picture.save(png := io.BytesIO(), "PNG")
        return png.getvalue()

    @property
    def settings(self) -> dict[str, Any]:
        """Return JSON values that repeat the run: ``restore(image, **settings)``."""
        own = {"strength": self.strength, "ensemble": self.ensemble, "remove": self.remove}
        return self._settings(self.axes, **own)

    @property
    def record(self) -> dict[str, Any]:
        """Return all of this but the image, as plain JSON values; to keep beside the result."""
        return self._record(self.settings, non_finite=self.non_finite, change=self.change)
