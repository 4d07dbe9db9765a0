"""The losses of the barycenter game (Tang et al., TPAMI 2026). All in float32.

Departures from the published code, each for a reason given in its function: the transport cost's
gradient exists at z = b, contrast is over pooled windows and never counts an embedding as its own
positive, and the fidelity may be taken on the log of the error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Fidelity = Literal["l1", "log_mse"]
Congruence = Literal["exact", "penalty"]

CONGRUENCE_PENALTY = 10.0
"""Weight of the penalty, as published."""


def fidelity_loss(
    restored: Tensor,
    clean: Tensor,
    kind: Fidelity,
    *,
    floor: float = 2e-4,
    coarse_weight: float = 0.0,
) -> Tensor:
    """Compute the distance between restored and clean images, (B, 3, H, W) about [0, 1]; a scalar.

    "l1" is ``mean |restored - clean|``, as published. "log_mse" is the mean over the images of
    ``ln(mse + floor)``, PSNR up to a factor: an image's gradient is then divided by its own error,
    so that a hazy one with a large error does not drown a noisy one with a small error. Images
    whose error is below the floor (37 dB for 2e-4) hardly pull any more; a high floor makes the
    loss the plain square, for which large errors come first.

    `coarse_weight` of the same distance between the means over 8x8 pixels is added: noise all but
    vanishes from it, and what is left is haze, darkness and background.
    """
    error = restored - clean
    loss = _distance(error, kind, floor)
    if coarse_weight:
        loss = loss + coarse_weight * _distance(F.avg_pool2d(error, 8), kind, floor)
    return loss


def _distance(error: Tensor, kind: Fidelity, floor: float) -> Tensor:
    if kind == "l1":
        return error.abs().mean()
    return torch.log(error.square().mean(dim=(1, 2, 3)) + floor).mean()


def transport_cost(z: Tensor, b: Tensor) -> Tensor:
    """Return the root mean square of z - b per sample: (B, D, h, w) twice to (B,).

    The published ``||z - b||`` divided by the root of the dimension, so that it does not depend on
    the patch size. Where z = b the gradient is 0, not NaN.
    """
    mean_square = (z - b).square().mean(dim=(1, 2, 3))
    positive = mean_square > 0
    return torch.where(positive, mean_square, 1.0).sqrt() * positive


def source_means(values: Tensor, sources: Tensor, weights: Tensor) -> Tensor:
    """Estimate ``sum_k lambda_k E_k[value]`` from a batch.

    `values` (B,) and `sources` (B,), int64, belong to samples; `weights` (K,) are lambda. Sources
    that are absent from the batch are left out.
    """
    one_hot = F.one_hot(sources, len(weights)).to(values.dtype)
    counts = one_hot.sum(dim=0)
    means = (values @ one_hot) / counts.clamp(min=1)
    return (means * weights).sum()


def barycenter_losses(
    z: Tensor,
    b: Tensor,
    potentials: Tensor,
    sources: Tensor,
    weights: Tensor,
    cost: Callable[[Tensor, Tensor], Tensor] = transport_cost,
) -> tuple[Tensor, Tensor]:
    """Compute ``sum_k lambda_k E_k[c(z, b)]`` and ``sum_k lambda_k E_k[f_k(b)]``.

    T minimises the first minus the second; the potentials minimise the second. `z` and `b` are (B,
    D, h, w), z detached where only T is to pay for transport; `potentials` f(b), (B, K); `sources`
    and `weights` as in `source_means`; `cost` c(z, b) to (B,).
    """
    own = potentials.gather(1, sources[:, None]).squeeze(1)
    transport = source_means(cost(z, b), sources, weights)
    return transport, source_means(own, sources, weights)


def congruence_penalty(potentials: Tensor, weights: Tensor) -> Tensor:
    """Compute ``10 mean (sum_k lambda_k f_k(b))^2``, over the whole batch.

    `potentials` are f(b), (B, K), not congruent by construction; `weights` lambda, (K,).
    """
    return CONGRUENCE_PENALTY * (potentials @ weights).square().mean()


def pooled_windows(r: Tensor, grid: int) -> Tensor:
    """Average r over a grid x grid division of the map: (B, D, h, w) to (B grid^2, D).

    The published loss flattens the map instead, which compares pictures position by position and
    ties the embedding to the picture's content.
    """
    pooled = F.adaptive_avg_pool2d(r, grid)
    return pooled.flatten(2).transpose(1, 2).reshape(-1, r.shape[1])


def window_sources(labels: Tensor, grid: int) -> Tensor:
    """Return the source of each window of `pooled_windows`: (B, G, G) to (B grid^2,), int64.

    A window that holds parts of several sources, or of none (-1), has -1. `grid` divides G.
    """
    values = labels[:, None].float()
    highest, lowest = F.adaptive_max_pool2d(values, grid), -F.adaptive_max_pool2d(-values, grid)
    return torch.where(highest == lowest, highest, -1.0).long().flatten()


def whole_labels(labels: Tensor) -> Tensor:
    """Return the source of whole fields, from the `labels` of their patches, (B, G, G), int64.

    It is the source of the patch, or none (-1) where the patch has two. Where degradations join
    outside of the patch, most of the field still has that of the patch.
    """
    whole = window_sources(labels, 1)
    return whole[:, None, None].expand_as(labels).contiguous()


def inter_residual_contrast(
    embeddings: Tensor, sources: Tensor, temperature: float = 0.07
) -> Tensor:
    """Compute IRC: residuals (N, D) of one source attract each other and repel the others'.

    For each embedding i: ``-log(sum_{j != i, same source} exp(cos_ij / tau) / sum_{j != i}
    exp(cos_ij / tau))``, averaged over the embeddings that have a positive. An embedding is never
    its own positive; those without one are left out (the published code counts itself and so hides
    them). `sources` are (N,), int64; `temperature` is tau.
    """
    unit = F.normalize(embeddings.float(), dim=1, eps=1e-8)
    logits = unit @ unit.T / temperature
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    same = (sources[:, None] == sources[None, :]) & ~itself
    anchors = same.any(dim=1)
    if not bool(anchors.any()):
        return embeddings.sum() * 0.0
    logits, same, itself = logits[anchors], same[anchors], itself[anchors]
    positives = logits.masked_fill(~same, -torch.inf).logsumexp(dim=1)
    others = logits.masked_fill(itself, -torch.inf).logsumexp(dim=1)
    return (others - positives).mean()


def barycenter_residual_orthogonality(b: Tensor, r: Tensor) -> Tensor:
    """Compute BRO, the mean of ``cos^2(b_i, r_j)`` over all pairs of embeddings, (N, D) each."""
    cosines = F.normalize(b.float(), dim=1, eps=1e-8) @ F.normalize(r.float(), dim=1, eps=1e-8).T
    return cosines.square().mean()
