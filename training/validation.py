"""Validation while training: whole clean images, degraded with fixed seeds, never trained on."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_baryir.network import BaryIR
from napari_baryir.training.data.images import Profile, load_clean_images, middle, spread
from napari_baryir.training.data.made_pairs import microscopy_pair, plane_tensor
from napari_baryir.training.degradations import degrade
from napari_baryir.training.degradations.files import from_bytes
from napari_baryir.training.evaluate import psnr
from napari_baryir.training.recipe import DataSettings


class ValidationPair(NamedTuple):
    """One degraded image and its truth, (1, 3, H, W) float32 each."""

    degraded: Tensor
    clean: Tensor
    noisy_truth: bool = False
    """Whether `clean` is noisy itself: its values beyond [0, 1] then count, for clamping them would
    make dark places brighter."""

    @classmethod
    def of(cls, degraded: NDArray[np.float32], clean: NDArray[np.float32]) -> ValidationPair:
        """Convert two planes, (H, W) or (H, W, 3)."""
        return cls(plane_tensor(degraded), plane_tensor(clean))


@dataclass(frozen=True)
class Scores:
    """The scores of a validation."""

    restored: dict[str, float]
    """Domain to mean PSNR of the restored images, dB, clamped to [0, 1]."""
    untouched: dict[str, float]
    """Domain to mean PSNR of the degraded images, dB."""
    accuracy: float
    """Share of images whose pooled residual lies nearest to their own domain's prototype."""
    residual_length: float
    """rms(r) / rms(z): a residual that dies goes to 0."""


def validation_pairs(settings: DataSettings) -> dict[str, list[ValidationPair]]:
    """Degrade the validation folder's images: domain to pairs. The same on every call."""
    images = load_clean_images(settings.validation, settings.profile)
    chosen = spread(images, settings.validation_images)
    profile, side = settings.profile, settings.validation_side
    return {
        domain: [
            make_pair(image, domain, np.random.default_rng((2026, number, i)), profile, side)
            for i, image in enumerate(chosen)
        ]
        for number, domain in enumerate(settings.batch)
    }


@dataclass(frozen=True)
class ValidationProgress:
    """One more image was restored and measured."""

    done: int
    total: int


@torch.inference_mode()
def iter_validate(
    model: BaryIR,
    pairs: dict[str, list[ValidationPair]],
    prototypes: Tensor,
    device: torch.device,
    autocast: torch.dtype | None,
) -> Generator[ValidationProgress, None, Scores]:
    """Measure a network in evaluation mode on `validation_pairs`, image by image.

    `pairs` are in the order of the rows of `prototypes`, (K, D), the mean unit residual of each
    source. `autocast` is the dtype of autocast (None: none).
    """
    restored: dict[str, float] = {}
    untouched: dict[str, float] = {}
    hits, lengths = [], []
    centre = prototypes.mean(dim=0)
    total = sum(map(len, pairs.values()))
    for index, (domain, domain_pairs) in enumerate(pairs.items()):
        after, before = [], []
        for pair in domain_pairs:
            x = pair.degraded.to(device, memory_format=torch.channels_last)
            with torch.autocast(device.type, autocast, enabled=autocast is not None):
                output = model(x)
            after.append(_psnr(output.restored, pair))
            before.append(_psnr(pair.degraded, pair))
            residual = output.residual.float().mean(dim=(2, 3))
            cosines = F.cosine_similarity(
                F.normalize(residual) - centre, prototypes - centre, dim=1
            )
            hits.append(int(cosines.argmax()) == index)
            lengths.append(_rms(output.residual) / _rms(output.source))
            yield ValidationProgress(len(hits), total)
        restored[domain] = float(np.mean(after))
        untouched[domain] = float(np.mean(before))
    return Scores(restored, untouched, float(np.mean(hits)), float(np.mean(lengths)))


def make_pair(
    image: NDArray[np.generic], domain: str, rng: np.random.Generator, profile: Profile, side: int
) -> ValidationPair:
    """Degrade the middle of a clean image, `side` pixels at most; as `PairDataset` has images."""
    clean = from_bytes(image[middle(image.shape, side)])
    if profile == "photo":
        degraded = degrade(clean, domain, rng).image
    else:
        degraded, clean = microscopy_pair(clean, domain, rng)
    return ValidationPair.of(degraded, clean)


def _psnr(image: Tensor, pair: ValidationPair) -> float:
    clean = pair.clean
    if not pair.noisy_truth:
        image, clean = image.clamp(0, 1), clean.clamp(0, 1)
    # Untouched clean images differ in nothing; they count as 100 dB.
    return psnr(image.float().cpu().numpy(), clean.numpy(), least_error=1e-10)


def _rms(x: Tensor) -> float:
    return float(x.float().square().mean().sqrt())
