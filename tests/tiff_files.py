"""What the tests of TIFF files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_baryir.files import read_image, write_image

PLANES = np.random.default_rng(0).integers(100, 3000, (12, 20, 24)).astype(np.uint16)


def written_back(
    path: Path, name: str = "", change: Callable[[Any], Any] = lambda data: data
) -> Path:
    """Read a file and write its pixels, changed or not, to another folder; return where."""
    out = path.parent / "out" / (name or path.name)
    with read_image(path) as image:
        write_image(out, change(np.asarray(image.data)), like=image)
    return out
