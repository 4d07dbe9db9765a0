"""The networks of a batch, each loaded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_baryir.files import ImageFile
    from napari_baryir.network import BaryIR


class Models:
    """The networks in use, each loaded once. Raises at once, if there is no such model."""

    def __init__(self, name: str, device: str) -> None:
        from napari_baryir.weights.header import read_header
        from napari_baryir.weights.registry import find_weights

        if name != "auto":
            read_header(find_weights(name))
        self._name = name
        self._device = device
        self._loaded: dict[str, BaryIR] = {}

    def get(self, image: ImageFile, axes: str) -> tuple[str, BaryIR]:
        """Return the name of the network for an image, and the network."""
        from napari_baryir.devices import choose_device
        from napari_baryir.weights.registry import choose_model, load_model

        rgb = "S" in axes and len(axes) == len(image.shape) and image.shape[axes.index("S")] >= 3
        name = choose_model(rgb) if self._name == "auto" else self._name
        if name not in self._loaded:
            self._loaded[name] = load_model(name, device=choose_device(self._device))
        return name, self._loaded[name]
