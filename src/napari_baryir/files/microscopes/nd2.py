"""Read ND2 of Nikon's microscopes through nd2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_baryir.files.microscopes.stored import Stored
from napari_baryir.files.waiting import IN_MEMORY

POSITIONS = "P"
"""Nd2's name of the axis whose positions are images of their own."""


class Nd2Reader:
    """An open ND2."""

    def __init__(self, path: Path) -> None:
        import nd2

        self._file = nd2.ND2File(path)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its positions."""
        count = int(self._file.sizes.get(POSITIONS, 1))
        for loop in self._loops("XYPosLoop"):
            points = loop.points or ()
            if len(points) == count:
                return tuple(str(point.name or "") for point in points)
        return ("",) * count

    def image(self, number: int) -> Stored:
        """Return a position; its planes are read when needed if the file is large."""
        file, dims = self._file, tuple(self._file.sizes)
        data: Any = file.asarray() if file.nbytes <= IN_MEMORY else file.to_dask()
        if POSITIONS in dims:
            data = data[(slice(None),) * dims.index(POSITIONS) + (number,)]
            dims = tuple(dim for dim in dims if dim != POSITIONS)
        channels = (file.metadata.channels if file.metadata else None) or ()
        names = tuple(str(channel.channel.name) for channel in channels)
        return Stored(data, dims, self._steps(channels), names)

    def close(self) -> None:
        self._file.close()

    def _loops(self, kind: str) -> list[Any]:
        return [loop.parameters for loop in self._file.experiment if loop.type == kind]

    def _steps(self, channels: Any) -> dict[str, float]:
        """Return micrometers, and seconds of a time series at even intervals."""
        steps = {}
        if channels:
            volume = channels[0].volume
            calibrated = zip("XYZ", volume.axesCalibrated, volume.axesCalibration, strict=True)
            steps = {dim: float(step) for dim, known, step in calibrated if known}
        for loop in self._loops("ZStackLoop"):
            steps["Z"] = abs(float(loop.stepUm))
        for loop in self._loops("TimeLoop"):
            steps["T"] = float(loop.periodDiff.avg or loop.periodMs) / 1000
        return steps
