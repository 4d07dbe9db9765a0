"""The potentials f_1..f_K of the Wasserstein barycenter game."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


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
        """Barycenter embeddings (B, D, h, w) to potentials f (B, K)."""
        y = F.leaky_relu(self.embed(b), 0.2)
        y = F.leaky_relu(self.spatial(y), 0.2).mean(dim=(2, 3), keepdim=True)
        g: Tensor = self.score(F.leaky_relu(self.mix(y), 0.2)).flatten(1)
        if not self.congruent:
            return g
        return g - (g * self.weights).sum(dim=1, keepdim=True)
