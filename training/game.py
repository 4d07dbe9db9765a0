"""The barycenter game of a training step: the potentials, and what each side descends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_baryir.network import BaryIR
from napari_baryir.network.baryir import Latents
from napari_baryir.network.steering import ResidualSubspaces
from napari_baryir.training import losses
from napari_baryir.training.processes import Processes
from napari_baryir.training.recipe import LossSettings


class Potentials(nn.Module):
    """K potentials on barycenter embeddings of D `channels`, congruent by construction.

    ``f_k = g_k - sum_j lambda_j g_j`` for K free networks g_j of `hidden` channels, so that ``sum_k
    lambda_k f_k = 0`` holds exactly (the published code adds a penalty on one sample instead: with
    `congruent` off, ``f_k = g_k``, and `losses.congruence_penalty` is to be added). `weights` are
    lambda, (K,), positive, sum 1. The g_j are one grouped network: the groups share no weight but
    the input. They average over the map before the last layers, so they take any patch size.
    """

    def __init__(
        self, channels: int, weights: Tensor, hidden: int = 32, *, congruent: bool = True
    ) -> None:
        super().__init__()
        self.congruent = congruent
        sources = len(weights)
        self.weights: Tensor
        self.register_buffer("weights", weights.clone())
        self.embed = nn.Conv2d(channels, sources * hidden, 1)
        self.spatial = nn.Conv2d(sources * hidden, sources * hidden, 3, padding=1, groups=sources)
        self.mix = nn.Conv2d(sources * hidden, sources * hidden, 1, groups=sources)
        self.score = nn.Conv2d(sources * hidden, sources, 1, groups=sources)

    def forward(self, b: Tensor) -> Tensor:
        """Map barycenter embeddings (B, D, h, w) to potentials f (B, K)."""
        y = F.leaky_relu(self.embed(b), 0.2)
        y = F.leaky_relu(self.spatial(y), 0.2).mean(dim=(2, 3), keepdim=True)
        g: Tensor = self.score(F.leaky_relu(self.mix(y), 0.2)).flatten(1)
        if not self.congruent:
            return g
        return g - (g * self.weights).sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class Game:
    """The barycenter game on the embeddings of one kind of input: patches, or reduced pictures."""

    z: Tensor
    """(N, D, h, w), the source embeddings of samples with one domain, of all processes."""
    b: Tensor
    """(N, D, h, w), T of these, of which T alone pays for transport."""
    sources: Tensor
    """(N,), their domains."""
    alone: Tensor
    """(B,), which samples these are."""
    labels: Tensor
    """(B, G, G), the domain of each part of the patch, -1 for none."""
    residual: Tensor
    """(B, D, h, w)."""
    barycenter: Tensor
    """(B, D, h, w)."""

    @classmethod
    def of(
        cls,
        model: BaryIR,
        latents: Latents,
        labels: Tensor,
        settings: LossSettings,
        together: Processes,
    ) -> Game:
        """Gather the embeddings of all processes: every loss is over all samples of the step."""
        # Mixtures belong to no source, and so not to the game.
        own = losses.window_sources(labels, 1) >= 0  # (b,)
        z, b = latents.source[own], latents.barycenter[own]
        if settings.detach_source:
            # The barycenter terms see T(z.detach()): if the encoder paid for transport too, it
            # would lower the cost by making the sources alike, and the residual would die.
            z = z.detach()
            b = model.barycenter_map(z)
        z, b = together.gather_some(z, own), together.gather_some(b, own)
        labels = together.gather(labels)
        sources = losses.window_sources(labels, 1)
        residual, barycenter = map(together.gather, (latents.residual, latents.barycenter))
        alone = sources >= 0
        return cls(z, b, sources[alone], alone, labels, residual, barycenter)

    def terms(
        self, potentials: Potentials, settings: LossSettings, subspaces: ResidualSubspaces | None
    ) -> dict[str, Tensor]:
        """Compute what T and E descend."""
        transport, potential = losses.barycenter_losses(
            self.z, self.b, potentials(self.b), self.sources, potentials.weights
        )
        contrast, orthogonality, outside = [], [], []
        for grid in settings.windows:
            residuals = losses.pooled_windows(self.residual, grid)  # (B grid^2, D)
            barycenters = losses.pooled_windows(self.barycenter, grid)
            sources = losses.window_sources(self.labels, grid)
            known = sources >= 0
            contrast.append(
                losses.inter_residual_contrast(
                    residuals[known], sources[known], settings.temperature
                )
            )
            orthogonality.append(losses.barycenter_residual_orthogonality(barycenters, residuals))
            if subspaces is not None:
                outside.append(subspaces.loss(residuals[known], sources[known]))
        terms = {
            "transport": transport,
            "potential": potential,
            "contrast": torch.stack(contrast).mean(),
            "orthogonality": torch.stack(orthogonality).mean(),
        }
        return terms | ({"subspace": torch.stack(outside).mean()} if outside else {})

    def ascent(self, potentials: Potentials, settings: LossSettings) -> tuple[Tensor, Tensor]:
        """Compute what the potentials descend, and the penalty of their sum."""
        values = potentials(self.b.detach())
        _, value = losses.barycenter_losses(
            self.z.detach(), self.b.detach(), values, self.sources, potentials.weights
        )
        if settings.congruence != "penalty":
            return value, torch.zeros_like(value)
        return value, losses.congruence_penalty(values, potentials.weights)
