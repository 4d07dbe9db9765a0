"""Residual subspaces of the degradations: what belongs to one can be taken out of r.

Each degradation has a few directions of the residual, orthogonal to those of all others. Without
its part along them, r says nothing of that degradation to the decoder, and it stays in the image.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualSubspaces(nn.Module):
    """Orthonormal directions of the residual: `rank` R for each of `domains` K degradations.

    `channels` are D, of the residual; at least K R.
    """

    def __init__(self, domains: int, rank: int, channels: int) -> None:
        super().__init__()
        self.domains, self.rank = domains, rank
        self.directions = nn.Parameter(torch.empty(domains * rank, channels))
        nn.init.orthogonal_(self.directions)
        self.centre = nn.Parameter(torch.zeros(channels))

    def basis(self) -> Tensor:
        """Return the directions, (K, R, D), orthonormal, float32."""
        orthonormal, _ = torch.linalg.qr(self.directions.float().T)
        basis: Tensor = orthonormal.T.unflatten(0, (self.domains, self.rank))
        return basis

    def keep(self, r: Tensor, amounts: Tensor) -> Tensor:
        """Take out of r, (B, D, h, w) float32, what belongs to degradations that are to stay.

        `amounts` are (B, K): 1 for a degradation that is to be removed, 0 for one that is to stay.
        """
        basis = self.basis()
        along = torch.einsum("krd,bdhw->bkrhw", basis, r - self.centre[:, None, None])
        return r - torch.einsum("bk,bkrhw,krd->bdhw", 1 - amounts, along, basis)

    def loss(self, residuals: Tensor, sources: Tensor) -> Tensor:
        """Penalise the part of a residual outside of its own degradation's subspace.

        The mean over embeddings of ``1 - |U_k (r - c)|^2 / |r - c|^2``. Embeddings of other
        sources, clean ones, move the centre c to their mean. `residuals` are (N, D); `sources` (N,)
        int64, a number below K for a degradation, another for clean.
        """
        known = sources < self.domains
        away = residuals[known] - self.centre
        along = torch.einsum("krd,nd->nkr", self.basis(), away).square().sum(dim=2)
        own = along.gather(1, sources[known, None]).squeeze(1)
        outside = 1 - own / (away.square().sum(dim=1) + 1e-8)
        clean = residuals[~known].detach()
        scale = away.detach().square().mean() + 1e-8 if bool(known.any()) else 1.0
        loss = outside.sum() / max(1, len(outside))
        if len(clean):
            loss = loss + (clean - self.centre).square().mean() / scale
        return loss


def as_amounts(removed: Tensor | None, batch: int, domains: int) -> Tensor | None:
    """Bring amounts (K,) or (B, K) to (B, K); None stays None and means all of everything."""
    if removed is None:
        return None
    return F.relu(removed.reshape(-1, domains)).expand(batch, domains)
