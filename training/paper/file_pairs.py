"""Batches from files that come in pairs: the paper's training data in its published layout.

As in `napari_baryir.training.data.made_pairs`, a sample is a function of the recipe's seed, its
step and its number in the batch and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from napari_baryir.errors import DataError
from napari_baryir.training.data.images import middle, random_patch, read_photo, spread
from napari_baryir.training.data.made_pairs import Batch, to_tensor
from napari_baryir.training.data.mixtures import GRID
from napari_baryir.training.degradations import degrade
from napari_baryir.training.degradations.files import from_bytes
from napari_baryir.training.degradations.photo import noise_level
from napari_baryir.training.paper.layouts import PairPaths
from napari_baryir.training.processes import WHOLE, Share
from napari_baryir.training.validation import ValidationPair


@dataclass(frozen=True)
class DomainFiles:
    """The files of one domain."""

    domain: str
    pairs: tuple[PairPaths, ...]
    sigmas: tuple[float, ...] = ()
    """Standard deviations of 255. Where given, the pairs are clean files twice, and noise is added
    to one of the two."""

    def read(self, number: int, turn_of_sigma: int) -> tuple[NDArray[np.uint8], float | None]:
        """Read degraded and clean image side by side, (H, W, 6), and the sigma still to be added.

        Raises `DataError` if a file cannot be read or the two differ in size.
        """
        pair = self.pairs[number % len(self.pairs)]
        clean = read_photo(pair.clean)
        if self.sigmas:
            sigma = self.sigmas[turn_of_sigma % len(self.sigmas)]
            return np.concatenate((clean, clean), axis=2), sigma
        degraded = read_photo(pair.degraded)
        if degraded.shape != clean.shape:
            raise DataError(f"{pair.degraded} and {pair.clean} differ in size; a pair must agree")
        return np.concatenate((degraded, clean), axis=2), None


@dataclass(frozen=True)
class PairedDataset(Dataset[Batch]):
    """Batches of paired patches, indexed by training step."""

    domains: tuple[DomainFiles, ...]
    """One for each domain, in the order of the network's domains."""
    patch: int
    """Side of the patches, in pixels; a multiple of 8. Smaller images are reflected."""
    seed: int
    composition: Mapping[str, int]
    """Domain to the number of its samples in every batch."""
    shuffled: int | None = None
    """When given, a batch has this many samples instead, drawn from a shuffled list in which each
    domain stands as often as `epoch` says, as published."""
    epoch: Mapping[str, int] | None = None
    """Domain to its samples per epoch; its files follow each other in turns."""
    share: Share = WHOLE
    """The samples of every batch to make."""

    def __getitem__(self, step: int) -> Batch:
        size = self.shuffled or sum(self.composition.values())
        degraded, clean, labels = [], [], []
        for number in self.share.numbers(size):
            rng = np.random.default_rng((self.seed, step, number))
            index, file, sigma = self._choose(step * size + number, number, rng)
            ours, theirs = self._sample(self.domains[index], file, sigma, rng)
            degraded.append(ours)
            clean.append(theirs)
            labels.append(np.full((GRID, GRID), index, np.int64))
        return Batch(to_tensor(degraded), to_tensor(clean), torch.from_numpy(np.stack(labels)))

    def _choose(self, sample: int, number: int, rng: np.random.Generator) -> tuple[int, int, int]:
        """Choose the domain, the number of the file and the turn of the sigma."""
        if self.shuffled is None or self.epoch is None:
            for index, files in enumerate(self.domains):
                count = self.composition[files.domain]
                if number < count:
                    return index, int(rng.integers(len(files.pairs))), int(rng.integers(2**16))
                number -= count
            raise AssertionError("a batch has as many samples as its composition says")
        counts = [self.epoch[files.domain] for files in self.domains]
        epoch, number = divmod(sample, sum(counts))
        position = int(_order(self.seed, epoch, sum(counts))[number])
        index = int(np.searchsorted(np.cumsum(counts), position, side="right"))
        within = position - sum(counts[:index])
        turns, file = divmod(within, len(self.domains[index].pairs))
        return index, file, turns

    def _sample(
        self, files: DomainFiles, file: int, turn_of_sigma: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        both, sigma = files.read(file, turn_of_sigma)
        return _pair(random_patch(both, self.patch, rng), sigma, rng)


def _pair(
    both: NDArray[np.generic], sigma: float | None, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Part (H, W, 6) of 8 bits into degraded and clean, (H, W, 3) in [0, 1]; add noise."""
    values = from_bytes(both)
    degraded, clean = values[..., :3], values[..., 3:]
    if sigma is not None:
        degraded = degrade(clean, "noise", rng, level=noise_level(sigma)).image
    return degraded, clean


@lru_cache(maxsize=2)  # steps follow each other, and so do epochs
def _order(seed: int, epoch: int, total: int) -> NDArray[np.int64]:
    """Shuffle the list of an epoch."""
    return np.random.default_rng((seed, 2**32 + epoch)).permutation(total)


def validation_of(files: DomainFiles, index: int, images: int, side: int) -> list[ValidationPair]:
    """Crop pairs of a held-out domain of that `index` from the centre; the same on every call.

    At most `images` are taken, spread evenly, and of each at most `side` pixels.
    """
    pairs = []
    for i, number in enumerate(spread(range(len(files.pairs)), images)):
        rng = np.random.default_rng((2026, index, i))
        both, sigma = files.read(number, i)
        pairs.append(ValidationPair.of(*_pair(both[middle(both.shape, side)], sigma, rng)))
    return pairs
