"""The barycenter game of one training step, on patches or on reduced pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_baryir.network import BaryIR
from napari_baryir.network.baryir import Latents
from napari_baryir.network.steering import ResidualSubspaces
from napari_baryir.training import losses
from napari_baryir.training.potentials import Potentials
from napari_baryir.training.processes import Processes
from napari_baryir.training.recipe import LossSettings


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
    places: Tensor
    """(B, G, G), the domain of each place, -1 for none."""
    residual: Tensor
    """(B, D, h, w)."""
    barycenter: Tensor
    """(B, D, h, w)."""

    @classmethod
    def of(
        cls,
        model: BaryIR,
        latents: Latents,
        places: Tensor,
        settings: LossSettings,
        together: Processes,
    ) -> Game:
        """Gather the embeddings of all processes: every loss is over all samples of the step."""
        # Mixtures belong to no source, and so not to the game.
        own = losses.window_sources(places, 1) >= 0  # (b,)
        z, b = latents.source[own], latents.barycenter[own]
        if settings.detach_source:
            # The barycenter terms see T(z.detach()): if the encoder paid for transport too, it
            # would lower the cost by making the sources alike, and the residual would die.
            z = z.detach()
            b = model.barycenter_map(z)
        z, b = together.gather_some(z, own), together.gather_some(b, own)
        places = together.gather(places)
        sources = losses.window_sources(places, 1)
        residual, barycenter = map(together.gather, (latents.residual, latents.barycenter))
        alone = sources >= 0
        return cls(z, b, sources[alone], alone, places, residual, barycenter)

    def terms(
        self,
        potentials: Potentials,
        settings: LossSettings,
        subspaces: ResidualSubspaces | None,
    ) -> dict[str, Tensor]:
        """Compute what T and E descend."""
        transport, potential = losses.barycenter_losses(
            self.z, self.b, potentials(self.b), self.sources, potentials.weights
        )
        contrast, orthogonality, outside = [], [], []
        for grid in settings.windows:
            residuals = losses.pooled_windows(self.residual, grid)  # (B grid^2, D)
            barycenters = losses.pooled_windows(self.barycenter, grid)
            labels = losses.window_sources(self.places, grid)
            known = labels >= 0
            contrast.append(
                losses.inter_residual_contrast(
                    residuals[known], labels[known], settings.temperature
                )
            )
            orthogonality.append(losses.barycenter_residual_orthogonality(barycenters, residuals))
            if subspaces is not None:
                outside.append(subspaces.loss(residuals[known], labels[known]))
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
