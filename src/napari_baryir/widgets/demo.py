"""Show restored samples in napari."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import napari
from npe2 import PluginManager

from napari_baryir.widgets.dock.dock import open_dock
from napari_baryir.widgets.dock.settings import PLUGIN

if TYPE_CHECKING:
    from napari_baryir.sample_data import Sample

DOCK = "Restore"


class Restored(Protocol):
    """A sample and its restored image, as `napari-baryir demo` makes them."""

    @property
    def sample(self) -> Sample:
        """The degraded image with its truth."""

    @property
    def image(self) -> Any:
        """The restored image."""


def show_samples(results: Sequence[Restored], *, run: bool = True) -> Any:
    """Open a viewer with degraded, restored and true images, and our dock if it is installed.

    Waits until the viewer is closed if `run`, and returns the viewer.
    """
    viewer = napari.Viewer(title="napari-baryir demo")
    for number, each in enumerate(results):
        add_sample(viewer, each, visible=number == 0)
    if has_dock():
        open_dock(viewer, DOCK)
    if run:
        napari.run()
    return viewer


def add_sample(viewer: Any, each: Restored, *, visible: bool = True) -> None:
    """Add degraded, restored and true image as layers, all with the truth's contrast."""
    sample = each.sample
    rgb = sample.axes.endswith("S")
    limits = None if rgb else (float(sample.clean.min()), float(sample.clean.max()))
    images = (("truth", sample.clean), ("degraded", sample.degraded), ("restored", each.image))
    for kind, image in images:
        viewer.add_image(
            image, name=f"{sample.name} {kind}", rgb=rgb, contrast_limits=limits, visible=visible
        )


def has_dock() -> bool:
    """Whether the installed plugin offers the dock."""
    manifest = PluginManager.instance()
    try:
        widgets = manifest.get_manifest(PLUGIN).contributions.widgets or []
    except KeyError:
        return False
    return any(widget.display_name == DOCK for widget in widgets)
