"""Restoring images: `restore` and `iter_restore`.

The public names are imported on first use, so that the dock can import `results` without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_baryir.restoration.restoration import Progress, Restoration, iter_restore, restore

__all__ = ["Progress", "Restoration", "iter_restore", "restore"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        home = importlib.import_module("napari_baryir.restoration.restoration")
        return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
