"""Pairs of degraded and clean patches, made on the fly from clean images.

A batch is a function of the recipe's seed and its step and of nothing else. Resuming at a step
therefore continues with the very data that an uninterrupted run would have seen, whatever the
number of worker processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from napari_baryir.errors import DataError
from napari_baryir.imaging.intensity import IntensityMap, choose_intensity
from napari_baryir.training.degradations import CLEAN, degrade

Profile = Literal["photo", "microscopy"]
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
MICROSCOPY_SUFFIXES = (".tif", ".tiff", ".png")
SMALLEST_PLANE = 64
"""Shortest side of the microscopy planes that are trained on, pixels."""
SMALLEST_FIELD, LARGEST_FIELD = 128, 320
"""Sides of the fields of view whose intensity map microscopy patches are seen through, pixels."""


class Batch(NamedTuple):
    """What one training step reads."""

    degraded: Tensor
    """(B, 3, P, P), float32."""
    clean: Tensor
    """(B, 3, P, P), float32."""
    sources: Tensor
    """(B,), int64: index of each sample's domain."""


@dataclass(frozen=True)
class PairDataset(Dataset[Batch]):
    """Batches of pairs, indexed by training step.

    Parameters
    ----------
    images
        Clean images: (H, W, 3) uint8 for "photo", (H, W) float32 about [0, 1] for "microscopy".
    profile
        Which degradations.
    composition
        Domain name to the number of its samples in every batch, in the order of the sources.
    patch
        Side of the patches, in pixels; a multiple of 8.
    seed
        Of everything random.
    first_patch, first_patch_steps
        Side of the patches in the first steps; None for `patch` throughout.
    """

    images: list[NDArray[np.generic]]
    profile: Profile
    composition: Mapping[str, int]
    patch: int
    seed: int
    first_patch: int | None = None
    first_patch_steps: int = 0

    def __getitem__(self, step: int) -> Batch:
        degraded, clean, sources = [], [], []
        early = self.first_patch is not None and step < self.first_patch_steps
        patch = self.first_patch if early and self.first_patch else self.patch
        place = 0
        for source, (domain, count) in enumerate(self.composition.items()):
            for _ in range(count):
                rng = np.random.default_rng((self.seed, step, place))
                make = self._photo if self.profile == "photo" else self._plane
                pair = make(domain, patch, rng)
                degraded.append(pair[0])
                clean.append(pair[1])
                sources.append(source)
                place += 1
        return Batch(_to_tensor(degraded), _to_tensor(clean), torch.tensor(sources))

    def _photo(
        self, domain: str, patch: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        image = self.images[int(rng.integers(len(self.images)))]
        crop = _turn(_crop(image, patch, rng), int(rng.integers(8)))
        clean = crop.astype(np.float32) / np.float32(255)
        return degrade(clean, domain, rng, profile="photo").image, clean

    def _plane(
        self, domain: str, patch: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        # The map to [0, 1] is chosen on a field larger than the patch, from the degraded image, as
        # it is when a user restores: fields vary in size because users' images do.
        plane = self.images[int(rng.integers(len(self.images)))]
        least = max(patch, SMALLEST_FIELD)
        side = int(rng.integers(least, max(least, min(*plane.shape, LARGEST_FIELD)) + 1))
        field = _turn(_crop(plane, side, rng), int(rng.integers(8))).astype(np.float32)
        field = field * np.float32(rng.uniform(0.6, 1.2))
        degraded, clean = microscopy_pair(field, domain, rng)
        top, left = (int(rng.integers(s - patch + 1)) for s in field.shape)
        window = np.s_[top : top + patch, left : left + patch]
        return _three(degraded[window]), _three(clean[window])


def microscopy_pair(
    plane: NDArray[np.float32],
    domain: str,
    rng: np.random.Generator,
    *,
    level: float | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Degrade a plane and map it and its clean self by the intensity map of the degraded one.

    A third of the planes become 8-bit and are mapped by their full range, the others by percentiles
    like uint16 and float images: the very maps of `choose_intensity`.

    Parameters
    ----------
    plane
        Clean, (H, W), about [0, 1].
    domain, rng, level
        As in `degrade`.

    Returns
    -------
    tuple
        Degraded and clean, (H, W), float32.
    """
    degraded = degrade(plane, domain, rng, profile="microscopy", level=level).image
    if rng.random() < 1 / 3:
        # A camera's offset keeps the noise of dark places from being cut off at 0.
        offset, scale = rng.uniform(4, 24), rng.uniform(80, 200)
        camera = np.clip(np.rint(offset + scale * degraded), 0, 255).astype(np.uint8)
        intensity = choose_intensity(camera, rgb=False)
        return intensity.apply(camera), intensity.apply(offset + scale * plane)
    intensity = choose_intensity(degraded, rgb=False)
    if intensity.kind == "constant":
        intensity = IntensityMap(0.0, 1.0, "given")
    return intensity.apply(degraded), intensity.apply(plane)


def load_clean_images(folder: str, profile: Profile) -> list[NDArray[np.generic]]:
    """Read the clean images of a folder, or scikit-image's bundled pictures.

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
    images: list[NDArray[np.generic]] = []
    for path in paths:
        images.extend(_read(path, profile))
    if not images:  # photographs are refused one by one
        raise DataError(
            f"no plane in {folder!r} has {SMALLEST_PLANE} pixels or more on both sides; "
            "give larger images, grey ones whose last two axes are Y and X"
        )
    return images


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


def _bundled(profile: Profile) -> list[NDArray[np.generic]]:
    from skimage import data

    if profile == "photo":
        return [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    return [
        p
        # Those that are in scikit-image's wheel; the others it would have to download. Stained
        # tissue is dark on bright: turned round, it is like fluorescence.
        for image in (data.cell(), 255 - data.immunohistochemistry()[..., 1], data.microaneurysms())
        for p in planes_in_unit_range(image)
    ]


def _crop(image: NDArray[np.generic], side: int, rng: np.random.Generator) -> NDArray[np.generic]:
    """A random square; images smaller than it are first reflected."""
    missing = [max(side - s, 0) for s in image.shape[:2]]
    if any(missing):
        margins = [(m // 2, m - m // 2) for m in missing] + [(0, 0)] * (image.ndim - 2)
        image = np.pad(image, margins, mode="symmetric")
    top, left = (int(rng.integers(s - side + 1)) for s in image.shape[:2])
    return image[top : top + side, left : left + side]


def _turn(image: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """One of the eight orientations of a square; 0 leaves it untouched."""
    image = np.rot90(image, orientation % 4)
    return image[:, ::-1] if orientation >= 4 else image


def _three(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat(plane[..., None], 3, axis=2)


def _to_tensor(patches: list[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2)


__all__ = ["CLEAN", "Batch", "PairDataset", "load_clean_images", "microscopy_pair"]
