"""Read LIF of Leica's microscopes through liffile."""

from __future__ import annotations

from pathlib import Path

from napari_baryir.files.microscopes.stored import MICROMETERS, Stored
from napari_baryir.files.waiting import IN_MEMORY


class LifReader:
    """An open LIF."""

    def __init__(self, path: Path) -> None:
        from liffile import LifFile

        self._file = LifFile(path)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its images."""
        return tuple(str(image.name) for image in self._file.images)

    def image(self, number: int) -> Stored:
        """Return an image; a large one is mapped from the file."""
        image = self._file.images[number]
        steps = {}
        for dim, at in image.coords.items():
            if len(at) > 1 and at.dtype.kind in "uif":
                step = abs(float(at[-1] - at[0])) / (len(at) - 1)
                steps[dim] = step if dim == "T" else step * MICROMETERS
        channels = image.xml_element.iter("ChannelDescription")
        return Stored(
            image.asarray(out="memmap" if image.nbytes > IN_MEMORY else None),
            tuple(image.dims),
            steps,
            tuple(channel.get("LUTName") or "" for channel in channels),
        )

    def close(self) -> None:
        self._file.close()
