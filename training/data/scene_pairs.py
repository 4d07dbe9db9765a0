"""Pairs of patches, each with the reduced picture of the whole field that it was cut from.

As in `napari_baryir.training.data.made_pairs`, a sample is a function of the seed, the step and its
number in the batch. Fields are degraded as the world does it, in any variant, and go through a
file; some samples ask for a part of their degradations only, and their target keeps the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_baryir.domains import CLEAN
from napari_baryir.imaging.reduction import reduced
from napari_baryir.network.scene import PHYSICS
from napari_baryir.training.data.images import three_colours
from napari_baryir.training.data.made_pairs import (
    PairDataset,
    Patches,
    through_intensity_map,
    to_tensor,
)
from napari_baryir.training.data.mixtures import (
    GRID,
    NO_DOMAIN,
    Mixture,
    apply_chain,
    draw_chain,
    draw_join,
    joined_labels,
)
from napari_baryir.training.data.variety import photo_field, varied_field
from napari_baryir.training.degradations.fields import Array
from napari_baryir.training.degradations.files import draw_file, resized, through_file

SHORTEST, LONGEST = 160, 384
"""Long side of the fields, pixels."""
SHAPES = ((1.0, 1.0), (0.75, 1.0), (0.6875, 1.0), (1.0, 0.75), (0.5625, 1.0))
"""Height and width of the fields, as parts of the long side; one shape for a whole batch."""
REDUCED_AFTER = 0.15
"""Share of the photographs that are reduced in size after they were degraded."""
KEPT = {"alone": 0.12, "in turn": 0.5, "side by side": 0.0}
"""Share of the samples whose coarse degradations are to stay. Fine ones never are: with noise in
a quarter of the targets, the log of the error pays best for leaving all noise alone, and within 250
steps the network did."""
MISTAKABLE, CANDIDATES = 0.4, 6
"""Share of the clean photographs that are the darkest, or the flattest, of some: night and fog that
are meant as they are. Nothing else teaches the difference from darkness and haze."""
_BATCH = 2**31
"""Stands for the number of a sample in what a whole batch shares."""


class SceneBatch(NamedTuple):
    """The samples of one training step of a network that looks at scenes."""

    degraded: Tensor
    """(B, 3, P, P), float32: patches."""
    clean: Tensor
    """(B, 3, P, P), float32: their targets."""
    labels: Tensor
    """(B, GRID, GRID), int64: index of the domain of each part of the patch, or -1."""
    reduced: Tensor
    """(B, 3, h, w), float32: the whole degraded fields."""
    reduced_clean: Tensor
    """(B, 3, h, w), float32: their targets."""
    place: Tensor
    """(B, 4), float32: the patches' places in the fields, as `at_place` has them."""
    removed: Tensor
    """(B, K), float32: how much of each degradation is to be removed, 0 or 1."""


@dataclass(frozen=True)
class ScenePairs(Patches[SceneBatch]):
    """Batches of patches and the scenes around them, indexed by training step."""

    side: int = 128
    """Long side of the reduced pictures, pixels."""

    def __getitem__(self, step: int) -> SceneBatch:
        rng = np.random.default_rng((self.seed, step, _BATCH))
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        samples = [self._sample(mixture, shape, own) for mixture, own in self.drawn(step)]
        degraded, clean, labels, small, small_clean, place, removed = zip(*samples, strict=True)
        return SceneBatch(
            to_tensor(degraded),
            to_tensor(clean),
            torch.from_numpy(np.stack(labels)),
            to_tensor(small),
            to_tensor(small_clean),
            torch.tensor(place, dtype=torch.float32),
            torch.tensor(removed, dtype=torch.float32),
        )

    def patches(self) -> PairDataset:
        """Return plain patches of the same images and domains, without their scenes."""
        return PairDataset(
            self.files, self.profile, self.composition, self.patch, self.seed, share=self.share,
            synthetic=self.synthetic,
        )  # fmt: skip

    @property
    def _degradations(self) -> list[str]:
        return [name for name in self.composition if name != CLEAN]

    def _sample(
        self, mixture: Mixture, shape: tuple[float, float], rng: np.random.Generator
    ) -> tuple[object, ...]:
        longest = int(rng.integers(max(SHORTEST, round(self.patch / min(shape)) + 1), LONGEST + 1))
        height, width = (max(self.patch, round(longest * part)) for part in shape)
        field = self._field(height, width, rng)
        if self.profile == "photo" and mixture.domains == (CLEAN,) and rng.random() < MISTAKABLE:
            field = self._mistakable(field, rng)
        height, width = field.shape[:2]
        # Featureless places must be met as often as they are.
        top, left = corner = self.corner(field, rng, anywhere=0.3)
        kept = self._kept(mixture, rng)
        degraded, target, parts = self._degrade(mixture, field, corner, kept, rng)
        degraded, target = self._as_files(mixture, degraded, target, kept, rng)
        both = [three_colours(np.asarray(image, np.float32)) for image in (degraded, target)]
        small = round(shape[0] * self.side / 8) * 8, round(shape[1] * self.side / 8) * 8
        return (
            *(image[self.window(corner)] for image in both),
            self.labels(mixture, parts),
            *(reduced(image, small) for image in both),
            (top / height, left / width, self.patch / height, self.patch / width),
            [0.0 if name in kept else 1.0 for name in self._degradations],
        )

    def _kept(self, mixture: Mixture, rng: np.random.Generator) -> set[str]:
        """Draw the degradations that are to stay; those that are not there may be among them."""
        if rng.random() >= KEPT[mixture.kind]:
            return set()
        coarse = [name for name in self._degradations if name in PHYSICS]
        return {name for name in coarse if name in mixture.domains or rng.random() < 0.5}

    def _degrade(
        self,
        mixture: Mixture,
        field: Array,
        corner: tuple[int, int],
        kept: set[str],
        rng: np.random.Generator,
    ) -> tuple[Array, Array, NDArray[np.int64]]:
        """Return the degraded field, its target and the labels of the patch."""
        chain = draw_chain(mixture, rng)
        if mixture.kind == "side by side":
            share = draw_join((field.shape[0], field.shape[1]), corner, self.patch, rng)
            first, second = (apply_chain(field, [step], self.profile) for step in chain)
            weights = share[..., None] if field.ndim == 3 else share
            joined = first * (1 - weights) + second * weights
            return joined, field, joined_labels(share[self.window(corner)])
        alone = np.zeros((GRID, GRID), np.int64)
        labels = alone if mixture.kind == "alone" else np.full((GRID, GRID), NO_DOMAIN)
        staying = [step for step in chain if step.domain in kept]
        small = self.profile == "photo" and rng.random() < REDUCED_AFTER
        if not small:
            degraded = apply_chain(field, chain, self.profile)
            target = apply_chain(field, staying, self.profile) if staying else field
            return degraded, target, labels
        height, width = field.shape[:2]
        factor = rng.uniform(1.15, 1.6)
        large = np.clip(resized(field, round(height * factor), round(width * factor)), 0, 1)
        degraded, target = (
            resized(apply_chain(large, steps, self.profile), height, width)
            for steps in (chain, staying)
        )
        return degraded, target, labels

    def _as_files(
        self,
        mixture: Mixture,
        degraded: Array,
        target: Array,
        kept: set[str],
        rng: np.random.Generator,
    ) -> tuple[Array, Array]:
        """Save the degraded field as users do, and map it to [0, 1] as restoring does."""
        untouched = set(mixture.domains) <= kept | {CLEAN}
        if self.profile == "microscopy":
            degraded, target = through_intensity_map(degraded, target, rng)
            return degraded, degraded if untouched else target
        degraded = through_file(degraded, draw_file(rng))
        # JPEG is none of the domains: what suffers nothing else comes back as the file has it.
        return degraded, degraded if untouched else np.clip(target, 0, 1)

    def _mistakable(self, field: Array, rng: np.random.Generator) -> Array:
        """Return the darkest, or the greyest and flattest, of several clean fields."""
        height, width = field.shape[:2]
        fields = [field, *(self._field(height, width, rng) for _ in range(CANDIDATES - 1))]
        dark = rng.random() < 0.5
        return min(fields, key=lambda each: float(each.mean() if dark else each.std()))

    def _field(self, height: int, width: int, rng: np.random.Generator) -> Array:
        if self.profile == "photo":
            return photo_field(self.files, height, width, rng)
        side = max(height, width)
        field = varied_field(self.files, side, rng, synthetic=self.synthetic)
        return with_joins(field[:height, :width], rng)


JOINED = 0.3
"""Share of the micrographs with tiles of a mosaic, padding, or the two halves of a camera."""


def with_joins(field: Array, rng: np.random.Generator) -> Array:
    """Give some fields the steps that clean micrographs have, anywhere but on the network's grid.

    A tile of a mosaic is brighter or darker than its neighbours, or missing; padding is 0; the two
    halves of a dual-view camera differ.
    """
    if rng.random() >= JOINED:
        return field
    field = field.copy()
    if rng.random() < 0.3:
        return field * _exposures(field.shape, rng)
    for _ in range(int(rng.integers(1, 3))):
        spans: list[slice] = []
        for length in field.shape:
            low, high = np.sort(rng.integers(0, length + 1, size=2))
            spans.append(slice(int(low), int(high)) if rng.random() < 0.6 else slice(None))
        kind = rng.random()
        gain = np.float32(0.0 if kind < 0.4 else rng.uniform(0.3, 1.6))
        offset = np.float32(rng.uniform(0, 0.2) if kind > 0.7 else 0.0)
        field[tuple(spans)] = field[tuple(spans)] * gain + offset
    return field


def _exposures(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw the exposures of a mosaic's square tiles, one for each pixel."""
    side = int(rng.integers(40, 129))
    top, left = (int(start) for start in rng.integers(0, side, size=2))
    rows, columns = (-(-(length + side) // side) for length in shape)
    tiles = rng.uniform(0.5, 1.6, (rows, columns)).astype(np.float32)
    grown = np.kron(tiles, np.ones((side, side), np.float32))
    return np.asarray(grown[top : top + shape[0], left : left + shape[1]])
