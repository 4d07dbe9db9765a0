"""Pairs of degraded and clean patches, made on the fly from clean images.

A sample is a function of the recipe's seed, its step and its number in the batch. So a run that is
resumed sees the very data of an uninterrupted one, whatever the number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from napari_baryir.training.data import Drawn
from napari_baryir.training.data.images import (
    Files,
    Profile,
    random_patch,
    random_plane,
    three_colours,
)
from napari_baryir.training.data.mixtures import NO_DOMAIN, Mixture, apply_mixture, sample_mixture
from napari_baryir.training.data.variety import varied_field
from napari_baryir.training.degradations import degrade
from napari_baryir.training.degradations.fields import Array
from napari_baryir.training.degradations.files import from_bytes
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
class Patches(Dataset[Drawn]):
    """Datasets of degraded patches have these settings; their batches are indexed by step."""

    files: Files
    """Clean ones: (H, W, 3) uint8 for "photo", (H, W) float32 about [0, 1] for "microscopy"."""
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

    def drawn(self, step: int) -> Iterator[tuple[Mixture, np.random.Generator]]:
        """Draw the mixture of each sample of a step, with the generator of its other choices."""
        size = sum(self.composition.values()) + self.in_turn + self.side_by_side
        for number in self.share.numbers(size):
            rng = np.random.default_rng((self.seed, step, number))
            yield sample_mixture(number, self.composition, self.in_turn, self.profile, rng), rng

    def labels(self, mixture: Mixture, parts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn numbers of a mixture's domains into those of the composition's."""
        sources = [list(self.composition).index(domain) for domain in mixture.domains]
        return np.where(parts == NO_DOMAIN, NO_DOMAIN, np.take(sources, parts))

    def window(self, corner: tuple[int, int]) -> tuple[slice, slice]:
        """Index the patch whose top and left is `corner`."""
        top, left = corner
        return slice(top, top + self.patch), slice(left, left + self.patch)

    def corner(
        self, field: Array, rng: np.random.Generator, *, anywhere: float = 0.0
    ) -> tuple[int, int]:
        """Choose a patch's top and left: of two, that with more in it, or `anywhere` that often."""
        tops, lefts = (side - self.patch + 1 for side in field.shape[:2])
        first, second = ((int(rng.integers(tops)), int(rng.integers(lefts))) for _ in "12")
        if anywhere and rng.random() < anywhere:
            return first
        spread = [field[self.window(corner)].std() for corner in (first, second)]
        return second if spread[1] > spread[0] else first


@dataclass(frozen=True)
class PairDataset(Patches[Batch]):
    """Batches of pairs, indexed by training step."""

    def __getitem__(self, step: int) -> Batch:
        samples = [self._sample(mixture, rng) for mixture, rng in self.drawn(step)]
        degraded, clean, labels = zip(*samples, strict=True)
        return Batch(to_tensor(degraded), to_tensor(clean), torch.from_numpy(np.stack(labels)))

    def _sample(
        self, mixture: Mixture, rng: np.random.Generator
    ) -> tuple[Array, Array, NDArray[np.int64]]:
        field = self._field(mixture, rng)
        corner = self.corner(field, rng)
        degraded, parts = self._degrade(mixture, field, corner, rng)
        if self.profile == "microscopy":
            degraded, field = through_intensity_map(degraded, field, rng)
        seen, target = (three_colours(image[self.window(corner)]) for image in (degraded, field))
        return seen, target, self.labels(mixture, parts)

    def _degrade(
        self, mixture: Mixture, field: Array, corner: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Array, NDArray[np.int64]]:
        """Degrade a field, as `apply_mixture` does."""
        return apply_mixture(mixture, field, corner, self.patch, self.profile, rng)

    def _field(self, mixture: Mixture, rng: np.random.Generator) -> Array:
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
        return from_bytes(random_patch(random_plane(self.files, rng), side, rng))


def microscopy_pair(plane: Array, domain: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """Degrade a clean plane, (H, W); return it and its clean self `through_intensity_map`."""
    degraded = degrade(plane, domain, rng, profile="microscopy").image
    return through_intensity_map(degraded, plane, rng)


def through_intensity_map(
    degraded: Array, plane: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
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


def plane_tensor(plane: Array) -> Tensor:
    """Convert a plane (H, W) or (H, W, 3) to (1, 3, H, W)."""
    return to_tensor([three_colours(plane)]).contiguous()


def plane_of(image: Tensor) -> Array:
    """Convert the first image of (B, 3, H, W) to (H, W, 3) float32."""
    return np.asarray(image[0].float().permute(1, 2, 0).cpu().numpy())


def to_tensor(patches: Sequence[Array]) -> Tensor:
    """Stack (P, P, 3) patches to (B, 3, P, P)."""
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2)
