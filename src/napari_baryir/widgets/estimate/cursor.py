"""Adds the estimate under the cursor to napari's status bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_baryir.widgets.estimate.legend import in_words
from napari_baryir.widgets.viewer.regions import to_pixels

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_baryir.widgets.estimate.session import EstimateSession, MapResult


class CursorValues:
    """Adds the estimate under the cursor to each status that napari shows of the selected layer."""

    def __init__(self, viewer: ViewerModel, session: EstimateSession) -> None:
        self._viewer = viewer
        self._session = session
        self._latest: dict[str, Any] = {}
        """Our latest status, which comes back as an event as soon as it is set."""
        viewer.events.status.connect(self._on_status)

    def close(self) -> None:
        """Leave napari's status as it is from now on."""
        self._viewer.events.status.disconnect(self._on_status)

    def text(self) -> str:
        """Return the estimate under the cursor; empty where there is none."""
        result = self._session.result
        if result is None or not (result.severity.visible or result.domains.visible):
            return ""
        found = values_at(self._viewer, result, np.asarray(self._viewer.cursor.position))
        if found is None:
            return ""
        severity, chances = found
        return f"severity {severity:.2f}; {in_words(chances)}"

    def _on_status(self, event: Any) -> None:
        status = event.value
        if not isinstance(status, dict) or "coordinates" not in status or status == self._latest:
            return
        text = self.text()
        if text:
            self._latest = {**status, "coordinates": f"{status['coordinates']}; {text}"}
            self._viewer.status = self._latest


def values_at(
    viewer: ViewerModel, result: MapResult, position: Any
) -> tuple[float, dict[str, float]] | None:
    """Return severity and probabilities at a position of the viewer; None outside of the maps."""
    layer = result.severity
    if viewer.dims.ndisplay != 2 or len(position) < layer.ndim:
        return None
    cells = np.floor(to_pixels(viewer, layer, np.asarray(position, np.float64)) + 0.5).astype(int)
    shape = layer.data.shape
    if any(not 0 <= at < n for at, n in zip(cells, shape, strict=True)):
        return None
    where = dict(zip(result.maps.axes, (int(at) for at in cells), strict=True))
    plane = tuple(where[letter] for letter in result.maps.outer)
    return result.maps.at(plane, where["Y"], where["X"])
