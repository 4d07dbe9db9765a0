"""The samples of a step of fine-tuning: the user's, and rehearsal of the old domains.

As in training, what a step holds is a function of the seed and the step alone, so that a run that
was stopped goes on with the very data that it would have seen.

Noisy images alone teach by Neighbor2Neighbor (Huang et al., CVPR 2021), which takes any network as
it is and learns from every pixel; a blind-spot network may not see the pixel that it predicts. Two
neighbours of a cell have nearly the same signal but noise of their own, so that one is an unbiased
target for the other. Noise that is not independent from pixel to pixel (after interpolation,
sharpening or JPEG) is copied as if it were signal.

The published loss is, for two sub-images g1 y and g2 y of a noisy image y and the network f,

    |f(g1 y) - g2 y|^2 + gamma |f(g1 y) - g2 y - (g1 f(y) - g2 f(y))|^2,

its second term because neighbours differ a little in signal too; f(y) carries no gradient. As a
function of f(g1 y) this is (1 + gamma) times the square distance to one corrected target,

    t = g2 y + gamma / (1 + gamma) (g1 f(y) - g2 f(y)),

plus a constant. So it is an ordinary pair, (g1 y, t), and the ordinary training step learns it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from napari_baryir.network import BaryIR
from napari_baryir.training.data.images import (
    Profile,
    random_patch,
    random_plane,
    random_square,
    three_colours,
    turn,
)
from napari_baryir.training.data.made_pairs import Batch, PairDataset, plane_tensor, to_tensor
from napari_baryir.training.data.mixtures import GRID, Mixture
from napari_baryir.training.degradations.camera import CameraNoise
from napari_baryir.training.degradations.fields import Array
from napari_baryir.training.degradations.files import from_bytes, to_bytes
from napari_baryir.training.finetune.planes import FilePlanes

GAIN_SPREAD = 1.5
"""The measured gain is varied by up to this factor: neighbouring exposures should work as well."""

GAMMA = 2.0
"""Weight of the correction: the larger of the published 1 (strong noise) and 2 (synthetic)."""

_ADJACENT = np.array([[1, 2], [0, 3], [0, 3], [1, 2]])
"""Pixels 0 1 / 2 3 of a cell: those that share a side with each."""


def draw_neighbors(height: int, width: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose two adjacent pixels in each 2x2 cell of an image of even sides.

    (2, height / 2, width / 2), int64: numbers 0 to 3 of the pixels of g1 and of g2, row by row.
    """
    first = rng.integers(4, size=(height // 2, width // 2))
    other = rng.integers(2, size=first.shape)
    return np.stack([first, _ADJACENT[first, other]])


def take_neighbors(image: Tensor, choice: Tensor) -> Tensor:
    """Take the chosen pixels: (B, C, H, W) and (B, H/2, W/2) to (B, C, H/2, W/2)."""
    b, c, h, w = image.shape
    cells = image.reshape(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 2, 4, 3, 5).flatten(4)
    index = choice[:, None, :, :, None].expand(-1, c, -1, -1, 1)
    return cells.gather(4, index).squeeze(4)


def noisy_pair(noisy: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Cut a noisy image, (1, C, H, W), H and W even, into g1 y and g2 y; give their choices too."""
    height, width = noisy.shape[2:]
    choices = torch.from_numpy(draw_neighbors(height, width, rng))[None]
    first, second = (take_neighbors(noisy, choices[:, i]) for i in (0, 1))
    return first, second, choices


def corrected_target(
    noisy: Tensor, restored: Tensor, choices: Tensor, gamma: float = GAMMA
) -> Tensor:
    """Compute the target t of the module's docstring.

    `noisy` and `restored` are y and f(y), (B, C, H, W); `choices` (B, 2, H/2, W/2), of
    `draw_neighbors`.
    """
    first, second = choices.unbind(dim=1)
    difference = take_neighbors(restored, first) - take_neighbors(restored, second)
    return take_neighbors(noisy, second) + gamma / (1 + gamma) * difference.detach()


class Draw(NamedTuple):
    """A batch of which some targets are still to be made by networks; see `complete`."""

    batch: Batch
    distilled: Tensor
    """(B,), bool: whether the starting model's own answer is the target."""
    noisy: Tensor | None = None
    """The images y of the first N samples, (N, 3, 2P, 2P), where these are noisy."""
    choices: Tensor | None = None
    """(N, 2, P, P), of `draw_neighbors`."""


class Samples(Protocol):
    """An endless row of single samples."""

    def __getitem__(self, number: int) -> Draw | Batch:
        """Make a sample, as a batch of one; the same for the same number."""


@dataclass(frozen=True)
class PairSamples:
    """Patches of the user's pairs, the same part of both."""

    files: Sequence[FilePlanes]
    patch: int
    seed: int
    turned: bool = True

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng((self.seed, number))
        file = self.files[int(rng.integers(len(self.files)))]
        plane = int(rng.integers(len(file.degraded)))
        both = np.concatenate(
            [three_colours(file.degraded[plane]), three_colours(file.clean[plane])], axis=2
        )
        # Take the one of two with more in it, since much of an image is often empty.
        patches = [random_square(both, self.patch, rng) for _ in "12"]
        chosen = max(patches, key=lambda patch: float(patch[..., 3:].std()))
        patch = turn(chosen, int(rng.integers(8)) if self.turned else 0).astype(np.float32)
        labels = torch.zeros(1, GRID, GRID, dtype=torch.int64)
        return Batch(to_tensor([patch[..., :3]]), to_tensor([patch[..., 3:]]), labels)


@dataclass(frozen=True)
class NoisySamples:
    """Pairs of noisy neighbours of every second pixel, without clean images."""

    files: Sequence[FilePlanes]
    patch: int
    seed: int

    def __getitem__(self, number: int) -> Draw:
        rng = np.random.default_rng((self.seed, number))
        plane = random_plane([file.degraded for file in self.files], rng)
        noisy = plane_tensor(random_patch(plane, 2 * self.patch, rng).astype(np.float32))
        first, second, choices = noisy_pair(noisy, rng)
        labels = torch.zeros(1, GRID, GRID, dtype=torch.int64)
        return Draw(Batch(first, second, labels), torch.zeros(1, dtype=torch.bool), noisy, choices)


@dataclass(frozen=True)
class LikeCamera(PairDataset):
    """Pairs made from clean images with the noise of the user's own camera."""

    noise: CameraNoise = field(kw_only=True)
    """In units of the clean images, [0, 1]."""

    def _degrade(
        self, mixture: Mixture, clean: Array, corner: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Array, NDArray[np.int64]]:
        factor = float(GAIN_SPREAD ** rng.uniform(-1, 1))
        gain, variance = factor * self.noise.gain, factor * self.noise.variance
        noise = replace(self.noise, gain=gain, variance=variance)
        return taken_by(noise, clean, rng, self.profile), np.zeros((GRID, GRID), np.int64)


def taken_by(
    camera: CameraNoise, clean: Array, rng: np.random.Generator, profile: Profile
) -> Array:
    """Add a camera's noise to a clean image about [0, 1]; photographs end as 8-bit values."""
    noisy = camera.add(clean, rng)
    return from_bytes(to_bytes(noisy)) if profile == "photo" else noisy


@dataclass(frozen=True)
class Rotation:
    """A fixed number of samples a step, of each domain in turn."""

    domains: Sequence[tuple[int, Samples]]
    """Index of the domain, and its samples."""
    count: int
    distilled: bool = False
    """Whether the starting model's own answers are the targets."""

    def draws(self, step: int) -> list[Draw]:
        """Draw the samples of a step."""
        draws = []
        for number in range(step * self.count, (step + 1) * self.count if self.domains else 0):
            domain, samples = self.domains[number % len(self.domains)]
            sample = samples[number]
            if isinstance(sample, Batch):
                sample = Draw(sample, torch.tensor([self.distilled]))
            labels = torch.full_like(sample.batch.labels, domain)
            draws.append(sample._replace(batch=sample.batch._replace(labels=labels)))
        return draws


@dataclass(frozen=True)
class FinetuneDataset(Dataset[Draw]):
    """The user's samples and the rehearsed ones of a step."""

    own: Rotation
    rehearsed: Rotation

    def __getitem__(self, step: int) -> Draw:
        draws = [*self.own.draws(step), *self.rehearsed.draws(step)]
        batch = Batch(*(torch.cat(parts) for parts in zip(*(d.batch for d in draws), strict=True)))
        noisy = [draw for draw in draws if draw.noisy is not None]
        return Draw(
            batch,
            torch.cat([draw.distilled for draw in draws]),
            torch.cat([d.noisy for d in noisy if d.noisy is not None]) if noisy else None,
            torch.cat([d.choices for d in noisy if d.choices is not None]) if noisy else None,
        )


@torch.no_grad()
def complete(
    draw: Draw, model: BaryIR, start: BaryIR, device: torch.device, autocast: torch.dtype | None
) -> Batch:
    """Make the targets that need a network: corrected neighbours, and the starting model's answers.

    `draw` has the samples of a step from `FinetuneDataset`; `model` is the network as it is now,
    `start` as it was.
    """
    clean = draw.batch.clean.clone()
    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        if draw.noisy is not None and draw.choices is not None:
            restored = model(draw.noisy.to(device)).restored.float().cpu()
            clean[: len(draw.noisy)] = corrected_target(draw.noisy, restored, draw.choices)
        if bool(draw.distilled.any()):
            degraded = draw.batch.degraded[draw.distilled].to(device)
            clean[draw.distilled] = start(degraded).restored.float().cpu()
    return draw.batch._replace(clean=clean)
