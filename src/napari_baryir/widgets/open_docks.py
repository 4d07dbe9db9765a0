"""Our other docks in the same window: told of new models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_baryir.widgets.degradation_dock import DegradationDock
from napari_baryir.widgets.dock_window import open_dock
from napari_baryir.widgets.restore_dock import RestoreDock

if TYPE_CHECKING:
    from napari.components import ViewerModel


def refresh_models(viewer: ViewerModel) -> None:
    """Have the open docks offer the models that are there now; what is chosen stays."""
    for dock in _open_docks(viewer):
        if isinstance(dock, RestoreDock | DegradationDock):
            dock.form.refresh_models()


def restore_with(viewer: ViewerModel, model: str) -> bool:
    """Choose a model in the Restore dock, opening one if there is none; False without a window."""
    docks = [dock for dock in _open_docks(viewer) if isinstance(dock, RestoreDock)]
    opened = None if docks else open_dock(viewer, "Restore")
    if opened is not None:
        docks = [opened]
        active = viewer.layers.selection.active
        if active in opened.form.layer.choices:
            opened.form.layer.value = active
    for dock in docks:
        dock.form.refresh_models(model)
        frame = dock.parent()
        if frame is not None:
            frame.show()
            frame.raise_()
    return bool(docks)


def _open_docks(viewer: ViewerModel) -> list[Any]:
    window = getattr(viewer, "window", None)
    return list(getattr(window, "dock_widgets", {}).values())
