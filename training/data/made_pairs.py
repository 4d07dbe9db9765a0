"""Pairs of degraded and clean patches, made on the fly from clean images.

A sample is a function of the recipe's seed, its step and its number in the batch. So a run that is
resumed sees the very data of an uninterrupted one, whatever the number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from napari_baryir.imaging.intensity import (
    NETWORK_HIGH,
    NETWORK_LOW,
    IntensityMap,
    choose_intensity,
)
from napari_baryir.training.data.images import Profile, random_square, three_colours, turn
from napari_baryir.training.data.mixtures import NO_DOMAIN, Mixture, apply_mixture, sample_mixture
from napari_baryir.training.data.variety import varied_field
from napari_baryir.training.degradations import degrade
from napari_baryir.training.processes import WHOLE, Share

BEYOND = 16
"""Pixels around a patch that blur brings light from."""
SMALLEST_FIELD, LARGEST_FIELD = 128, 224
"""Sides of the fields of view whose intensity map microscopy patches are seen through, pixels."""


class Batch(NamedTuple):
    """The samples of one training step."""

    degraded: Tensor
    """(B, 3, P, P), float32."""
    clean: Tensor
    """(B, 3, P, P), float32."""
    labels: Tensor
    """(B, GRID, GRID), int64: index of the domain of each part of the patch; -1 where no single
    domain is right. See `napari_baryir.training.data.mixtures`."""


@dataclass(frozen=True)
class PairDataset(Dataset[Batch]):
    """Batches of pairs, indexed by training step."""

    files: list[list[NDArray[np.generic]]]
    """Clean images by file: (H, W, 3) uint8 for "photo", (H, W) float32 about [0, 1] for
    "microscopy". Every file is drawn as often, so that a long stack does not decide alone."""
    profile: Profile
    composition: Mapping[str, int]
    """Domain to the number of its samples in every batch, in the order of the sources."""
    patch: int
    """Side of the patches, in pixels; a multiple of 8."""
    seed: int
    in_turn: int = 0
    """Further samples in every batch, with two degradations on top of each other."""
    side_by_side: int = 0
    """Further samples in every batch, with two degradations beside each other."""
    share: Share = WHOLE
    """The samples of every batch to make. A sample depends on its number in the whole batch."""
    synthetic: float = 0.0
    """Share of microscopy's fields that come from no file, as in `varied_field`."""

    def __getitem__(self, step: int) -> Batch:
        samples = []
        size = sum(self.composition.values()) + self.in_turn + self.side_by_side
        for number in self.share.numbers(size):
            rng = np.random.default_rng((self.seed, step, number))
            mixture = sample_mixture(number, self.composition, self.in_turn, self.profile, rng)
            samples.append(self._sample(mixture, rng))
        degraded, clean, labels = zip(*samples, strict=True)
        return Batch(to_tensor(degraded), to_tensor(clean), torch.from_numpy(np.stack(labels)))

    def _sample(
        self, mixture: Mixture, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        field = self._field(mixture, rng)
        top, left = self._corner(field, rng)
        degraded, own = self._degrade(mixture, field, (top, left), rng)
        if self.profile == "microscopy":
            degraded, field = through_intensity_map(degraded, field, rng)
        window = np.s_[top : top + self.patch, left : left + self.patch]
        sources = [list(self.composition).index(domain) for domain in mixture.domains]
        labels = np.where(own == NO_DOMAIN, NO_DOMAIN, np.take(sources, own))
        return three_colours(degraded[window]), three_colours(field[window]), labels

    def _degrade(
        self,
        mixture: Mixture,
        field: NDArray[np.float32],
        corner: tuple[int, int],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Degrade a field, as `apply_mixture` does."""
        return apply_mixture(mixture, field, corner, self.patch, self.profile, rng)

    def _corner(self, field: NDArray[np.float32], rng: np.random.Generator) -> tuple[int, int]:
        """Choose top and left of the patch: the one of two places with more in it."""
        corners = [[int(rng.integers(s - self.patch + 1)) for s in field.shape[:2]] for _ in "12"]
        spread = [field[t : t + self.patch, le : le + self.patch].std() for t, le in corners]
        top, left = corners[int(np.argmax(spread))]
        return top, left

    def _field(self, mixture: Mixture, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw a clean field of view, turned and turned over, of which the patch is a part.

        It is larger than the patch where that matters: microscopy's map to [0, 1] is chosen on the
        degraded field, as it is when a user restores (fields vary in size because users' images
        do), haze thickens over a whole picture, not over a patch, and blur brings in what lies
        beyond the patch.
        """
        side = self.patch
        if self.profile == "microscopy" or "haze" in mixture.domains:
            least = max(self.patch, SMALLEST_FIELD)
            side = int(rng.integers(least, max(least, LARGEST_FIELD) + 1))
        elif "blur" in mixture.domains:
            side += 2 * BEYOND
        if self.profile == "microscopy":
            return varied_field(self.files, side, rng, synthetic=self.synthetic)
        planes = self.files[int(rng.integers(len(self.files)))]
        image = planes[int(rng.integers(len(planes)))]
        field = turn(random_square(image, side, rng), int(rng.integers(8)))
        return field.astype(np.float32) / np.float32(255)


def microscopy_pair(
    plane: NDArray[np.float32], domain: str, rng: np.random.Generator, *, level: float | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Degrade a clean plane, (H, W); return it and its clean self `through_intensity_map`."""
    degraded = degrade(plane, domain, rng, profile="microscopy", level=level).image
    return through_intensity_map(degraded, plane, rng)


def through_intensity_map(
    degraded: NDArray[np.float32], plane: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Map a degraded plane and its clean self by the intensity map of the degraded one.

    A third of the planes become 8-bit and are mapped by their full range, the others by percentiles
    like uint16 and float images: the very maps of `choose_intensity`. Both are (H, W).
    """
    if rng.random() < 1 / 3:
        # A camera's offset keeps the noise of dark places from being cut off at 0.
        offset, scale = rng.uniform(4, 24), rng.uniform(80, 200)
        camera = np.clip(np.rint(offset + scale * degraded), 0, 255).astype(np.uint8)
        intensity = choose_intensity(camera, rgb=False)
        degraded, plane = camera, offset + scale * plane
    else:
        intensity = choose_intensity(degraded, rgb=False)
        if intensity.kind == "constant":
            intensity = IntensityMap(0.0, 1.0, "given")
    seen, target = (
        np.clip(intensity.apply(each), NETWORK_LOW, NETWORK_HIGH) for each in (degraded, plane)
    )
    return seen, target


def plane_tensor(plane: NDArray[np.float32]) -> Tensor:
    """Convert a plane (H, W) or (H, W, 3) to (1, 3, H, W)."""
    return to_tensor([three_colours(plane)]).contiguous()


def to_tensor(patches: Sequence[NDArray[np.float32]]) -> Tensor:
    """Stack (P, P, 3) patches to (B, 3, P, P)."""
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2)
