"""The layers to learn from, the reasons that one cannot be used, and which two may be a pair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from napari_baryir.errors import InputError
from napari_baryir.training.names import SMALLEST_SIDE
from napari_baryir.widgets.finetune.job import LayerImage
from napari_baryir.widgets.viewer import layers
from napari_baryir.widgets.viewer.regions import axes_of, level_0, why_not

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

NONE = "as modelled (no image)"
"""The choice of no noisy layer."""

COPIES = 3
"""Copies of an image in 32-bit floats that training holds at most."""


class LayerChoices:
    """The image layers of a viewer, as choices of the form's controls."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer

    def choices(self, _: Any = None) -> list[Any]:
        """Return the images, from the top; results of restoring may be clean images."""
        return layers.offered(self._viewer, "Image")

    def choices_or_none(self, _: Any = None) -> list[Any]:
        """Return the choices, with none of them first."""
        return [(NONE, None), *((layer.name, layer) for layer in self.choices())]

    def refresh(self, control: Any) -> None:
        """Offer the layers that are there now, and keep the choice."""
        before = control.value
        with control.changed.blocked():  # a renamed layer is another choice to magicgui
            control.reset_choices()
            if isinstance(before, list):
                kept = [layer for layer in before if layer in control.choices]
                active = self._viewer.layers.selection.active
                if not kept and active in control.choices:
                    kept = [active]
                control.value = kept or list(control.choices)[:1]
            elif before in control.choices:
                control.value = before

    def propose_pair(self, degraded: Any, clean: Any) -> None:
        """Choose two different layers of one shape, if there are."""
        found = self.choices()
        for i, first in enumerate(found):
            for second in found[i + 1 :]:
                if level_0(first).shape == level_0(second).shape:
                    # By the name, where it says which one is clean.
                    swap = "clean" in second.name.lower() or "good" in second.name.lower()
                    degraded.value, clean.value = (first, second) if swap else (second, first)
                    return

    def nothing_chosen(self) -> str:
        """Return why no layer is chosen, and what to do."""
        if self.choices():
            return "choose one or more layers"
        return "open an image first (File > Open), or learn from folders"

    def image_of(self, layer: Image | None) -> LayerImage:
        """Return a layer to learn from; `InputError` if it cannot be used."""
        reason = self.nothing_chosen() if layer is None else why_not(layer)
        if layer is None or reason is not None:
            raise InputError((reason or "").rstrip("."))
        image = LayerImage(layer.name, level_0(layer), axes_of(layer))
        shape = tuple(int(n) for n in image.data.shape)
        sides = [n for n, letter in zip(shape, image.axes, strict=True) if letter in "YX"]
        if min(sides) < SMALLEST_SIDE:
            raise InputError(
                f"“{layer.name}” is {sides[0]} x {sides[1]} pixels, too small to learn from; "
                f"choose one of {SMALLEST_SIDE} x {SMALLEST_SIDE} or more"
            )
        needed = 4 * COPIES * int(np.prod(shape))
        if needed > psutil.virtual_memory().available:
            raise InputError(
                f"“{layer.name}” needs {needed / 2**30:.0f} GiB of memory to learn from, more than "
                "is free; crop it, or save a part of it and learn from that"
            )
        return image

    def image(self, chosen: Any) -> LayerImage | Path:
        """Return a layer, or the path of a file."""
        return Path(chosen).expanduser() if isinstance(chosen, str) else self.image_of(chosen)


def pair_reason(degraded: LayerImage, clean: LayerImage) -> str | None:
    """Return why two layers cannot be a pair; None if they may be one."""
    shapes = [tuple(int(n) for n in image.data.shape) for image in (degraded, clean)]
    colours = ["RGB" if "S" in image.axes else "grey" for image in (degraded, clean)]
    if shapes[0] == shapes[1] and colours[0] == colours[1]:
        return None
    described = [
        f"“{image.name}” is {colour}, {' x '.join(map(str, shape))}"
        for image, shape, colour in zip((degraded, clean), shapes, colours, strict=True)
    ]
    return f"{described[0]}, but {described[1]}; choose two layers of the same size, pixel on pixel"
