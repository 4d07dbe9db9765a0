"""Make the pictures of the home page's sliders from bundled samples and the shipped weights.

    python docs/slider_pictures.py

Writes before-*.jpg and after-*.jpg to docs/images. Everything is seeded; nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_baryir import restore
from napari_baryir.sample_data import fluorescence_stack, photo_rain

FOLDER = Path(__file__).parent / "images"
SIZE = (300, 450)
"""Height and width of both, pixels."""


def save(name: str, before: NDArray[np.generic], after: NDArray[np.generic]) -> None:
    """Save both as 8 bits, with the contrast of the restored one."""
    height, width = SIZE
    low, high = (0, 255) if before.dtype == np.uint8 else np.percentile(after, (0.1, 99.9))
    for kind, image in (("before", before), ("after", after)):
        shown = np.clip((image[:height, :width] - low) / (high - low) * 255, 0, 255)
        picture = Image.fromarray(np.rint(shown).astype(np.uint8))
        picture.save(FOLDER / f"{kind}-{name}.jpg", quality=88)


def main() -> None:
    """Restore a photograph and a plane of a stack."""
    photo = photo_rain().degraded
    save("photo", photo, restore(photo, axes="YXS").image)
    plane = fluorescence_stack(shape=(8, *SIZE)).degraded[4]
    save("microscopy", plane, restore(plane, axes="YX").image)


if __name__ == "__main__":
    main()
