"""Opening docks of ours as the Plugins menu does."""

from __future__ import annotations

from typing import Any

PLUGIN = "napari-baryir"


def open_dock(viewer: Any, name: str) -> Any:
    """Show one of our docks, by its display name in the manifest; None without a window."""
    window = getattr(viewer, "window", None)
    if window is None:
        return None
    frame, dock = window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    frame.setWindowTitle(f"{name} (BaryIR)")  # as from the menu
    frame.show()
    frame.raise_()
    return dock
