"""What the tests of ``napari-baryir restore`` share: pictures and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[..., int]
"""The fixture `run`."""


def picture(seed: int = 0, shape: tuple[int, ...] = (24, 32, 3)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def made(path: str) -> Path:
    """Return a path whose folder is there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)
