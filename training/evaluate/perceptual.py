"""LPIPS, where its weights can be had; nothing of it is shipped, and nothing depends on it."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import DataError

Array = NDArray[np.float32]
PlaneDistance = Callable[[Array, Array], float]
"""Two planes, (H, W) or (H, W, 3) in [0, 1], to their distance."""

SMALLEST_SIDE = 32
"""AlexNet's strides leave nothing of smaller images."""


def load_lpips() -> PlaneDistance:
    """LPIPS (Zhang et al., CVPR 2018), version 0.1 with AlexNet, as the package lpips has it.

    Returns
    -------
    PlaneDistance
        NaN for images with a side below 32 pixels.

    Raises
    ------
    DataError
        If the package is not installed, or AlexNet's weights can be neither found nor fetched.
    """
    import torch

    try:
        lpips = importlib.import_module("lpips")
    except ImportError:
        raise DataError(
            "LPIPS needs the packages lpips and torchvision; install them with "
            "pip install lpips torchvision, or measure without --lpips"
        ) from None
    try:
        network = lpips.LPIPS(net="alex", verbose=False).eval()
    except Exception as error:  # torch.hub, urllib and the file system raise many types here
        raise DataError(
            f"AlexNet's weights for LPIPS cannot be had ({error}); torchvision fetches them into "
            "torch.hub's folder when there is a network. Or measure without --lpips"
        ) from error

    def distance(image: Array, clean: Array) -> float:
        if min(clean.shape[:2]) < SMALLEST_SIDE:
            return float("nan")
        # LPIPS reads [-1, 1]; fed with [0, 1], as some public code does, its numbers are others.
        planes = [torch.from_numpy(_three(np.clip(p, 0, 1)) * 2 - 1)[None] for p in (image, clean)]
        with torch.inference_mode():
            return float(network(*planes))

    return distance


def _three(plane: Array) -> Array:
    """(H, W) or (H, W, 3) to (3, H, W)."""
    three = plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)
    return np.ascontiguousarray(three.transpose(2, 0, 1), np.float32)
