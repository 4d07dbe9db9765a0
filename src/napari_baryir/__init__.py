"""Restore images with BaryIR.

The public names are imported on first use, so that ``import napari_baryir`` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from napari_baryir.version import __version__

if TYPE_CHECKING:
    from napari_baryir.batch.run import restore_file
    from napari_baryir.degradation import (
        Contributions,
        DegradationEstimate,
        estimate_degradation,
        iter_estimate,
    )
    from napari_baryir.restoration import Progress, Restoration, iter_restore, restore
    from napari_baryir.weights.importer import import_published_weights
    from napari_baryir.weights.registry import ModelCard, available_models, load_model

_HOMES = {
    "batch.run": ("restore_file",),
    "degradation": (
        "Contributions", "DegradationEstimate", "estimate_degradation", "iter_estimate",
    ),
    "restoration": ("Progress", "Restoration", "iter_restore", "restore"),
    "weights.importer": ("import_published_weights",),
    "weights.registry": ("ModelCard", "available_models", "load_model"),
}  # fmt: skip
"""Module to the public names that it has."""

__all__ = [
    "Contributions",
    "DegradationEstimate",
    "ModelCard",
    "Progress",
    "Restoration",
    "__version__",
    "available_models",
    "estimate_degradation",
    "import_published_weights",
    "iter_estimate",
    "iter_restore",
    "load_model",
    "restore",
    "restore_file",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
