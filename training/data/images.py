"""Clean images from folders: what training degrades."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import DataError
from napari_baryir.imaging.intensity import choose_intensity

Profile = Literal["photo", "microscopy"]
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
MICROSCOPY_SUFFIXES = (".tif", ".tiff", ".png")
SMALLEST_PLANE = 64
"""Shortest side of the microscopy planes that are trained on, pixels."""


def load_clean_images(folder: str, profile: Profile) -> list[NDArray[np.generic]]:
    """All planes of `load_clean_files`, in one list."""
    return [plane for planes in load_clean_files(folder, profile) for plane in planes]


def load_clean_files(folder: str, profile: Profile) -> list[list[NDArray[np.generic]]]:
    """Read the clean images of a folder, or scikit-image's bundled pictures: planes by file.

    Parameters
    ----------
    folder
        A folder, read recursively; or "skimage" for pictures that come with scikit-image.
    profile
        "photo": (H, W, 3) uint8. "microscopy": stacks and channels cut into planes (H, W), float32,
        each stack mapped to about [0, 1] by its robust percentiles. Planes with a side below
        `SMALLEST_PLANE` are left out.

    Raises
    ------
    DataError
        If the folder is missing, or an image cannot be read, or none can be used.
    """
    if folder == "skimage":
        return _bundled(profile)
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"there is no folder {folder!r}; give the folder of clean images")
    suffixes = PHOTO_SUFFIXES if profile == "photo" else MICROSCOPY_SUFFIXES
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in suffixes)
    if not paths:
        raise DataError(f"no images in {folder!r}; expected files named *{', *'.join(suffixes)}")
    files = [planes for path in paths if (planes := _read(path, profile))]
    if not files:  # photographs are refused one by one
        raise DataError(
            f"no plane in {folder!r} has {SMALLEST_PLANE} pixels or more on both sides; "
            "give larger images, grey ones whose last two axes are Y and X"
        )
    return files


def _read(path: Path, profile: Profile) -> list[NDArray[np.generic]]:
    import tifffile
    from skimage import io

    try:
        # scikit-image moves a first axis of 3 or 4 to the end: right for photographs only.
        stack = profile == "microscopy" and path.suffix.lower() in (".tif", ".tiff")
        # Opened here, for imageio leaves files open that none of its readers knows.
        with path.open("rb") as file:
            array = np.asarray(tifffile.imread(file) if stack else io.imread(file))
    except Exception as error:
        # Whatever a decoder raises on a damaged file, the user needs its name.
        raise DataError(f"cannot read {path}: {error}; repair it or take it out") from error
    if profile == "photo":
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4):
            raise DataError(
                f"{path} is {array.dtype} of shape {array.shape}; photographs must be 8-bit RGB"
            )
        return [array[..., :3]]
    return [p for p in planes_in_unit_range(array) if min(p.shape) >= SMALLEST_PLANE]


def planes_in_unit_range(stack: NDArray[np.generic]) -> list[NDArray[np.float32]]:
    """Cut (..., H, W) into planes about [0, 1], by robust percentiles of the whole stack."""
    intensity = choose_intensity(stack.astype(np.float32), rgb=False)
    planes = stack.reshape(-1, *stack.shape[-2:])
    # A quarter above white is kept: clipped spots would teach that bright things are flat.
    return [np.clip(intensity.apply(plane), 0, 1.25) for plane in planes]


def _bundled(profile: Profile) -> list[list[NDArray[np.generic]]]:
    from skimage import data

    if profile == "photo":
        return [[data.astronaut()], [data.coffee()], [data.chelsea()], [data.rocket()]]
    # Those that are in scikit-image's wheel; the others it would have to download. Stained
    # tissue is dark on bright: turned round, it is like fluorescence.
    stacks = (data.cell(), 255 - data.immunohistochemistry()[..., 1], data.microaneurysms())
    return [list(planes_in_unit_range(stack)) for stack in stacks]


def random_square(
    image: NDArray[np.generic], side: int, rng: np.random.Generator
) -> NDArray[np.generic]:
    """A random square; images smaller than it are first reflected."""
    missing = [max(side - s, 0) for s in image.shape[:2]]
    if any(missing):
        margins = [(m // 2, m - m // 2) for m in missing] + [(0, 0)] * (image.ndim - 2)
        image = np.pad(image, margins, mode="symmetric")
    top, left = (int(rng.integers(s - side + 1)) for s in image.shape[:2])
    return image[top : top + side, left : left + side]


def turn(image: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """One of the eight orientations of a square; 0 leaves it untouched."""
    image = np.rot90(image, orientation % 4)
    return image[:, ::-1] if orientation >= 4 else image
