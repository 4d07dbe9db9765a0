"""The barycenter game on a problem with a known answer, played by our potentials.

The 2-Wasserstein barycenter of Gaussians whose covariances commute is the Gaussian with the mean
``sum lambda_k m_k`` and the covariance ``(sum lambda_k S_k^(1/2))^2``. The sources are so far apart
that one map can serve all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_baryir.training.game import Potentials
from napari_baryir.training.losses import barycenter_losses

WEIGHTS = torch.tensor([0.5, 0.3, 0.2])
MEANS = torch.tensor([[-4.0, -1.0], [4.0, -2.0], [2.0, 6.0]])
SPREADS = torch.tensor([[1.0, 0.5], [0.6, 1.2], [1.4, 0.8]])
"""Standard deviations along two directions that all sources share, 30 degrees off the axes."""
SAMPLES = 128
"""Samples of each source at each step."""
STEPS = 1000


def roots() -> Tensor:
    """Square roots of the sources' covariances, (K, 2, 2)."""
    cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
    turned = torch.tensor([[cosine, -sine], [sine, cosine]])
    return turned @ torch.diag_embed(SPREADS) @ turned.T


def draw(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points of all sources as embeddings of one pixel, (3 count, 2, 1, 1), and their sources."""
    sources = torch.arange(3).repeat_interleave(count)
    normal = torch.randn(3 * count, 2, generator=generator)
    points = MEANS[sources] + torch.einsum("nij,nj->ni", roots()[sources], normal)
    return points[:, :, None, None], sources


def squared_cost(z: Tensor, b: Tensor) -> Tensor:
    """Half the squared distance, (B, 2, 1, 1) twice to (B,)."""
    return (z - b).square().sum(dim=(1, 2, 3)) / 2


class SharedMap(nn.Module):
    """T: one small network for all sources; the identity plus a correction."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, hidden, 1)
        self.second = nn.Conv2d(hidden, hidden, 1)
        self.last = nn.Conv2d(hidden, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        y = F.leaky_relu(self.second(F.leaky_relu(self.first(z), 0.2)), 0.2)
        moved: Tensor = z + self.last(y)
        return moved


def play(steps: int) -> SharedMap:
    """Play the game; T's average over the last steps."""
    torch.manual_seed(0)
    transport, average = SharedMap(), SharedMap()
    average.load_state_dict(transport.state_dict())
    potentials = Potentials(2, WEIGHTS, hidden=32)
    generator = torch.Generator().manual_seed(0)
    players = [
        torch.optim.Adam(module.parameters(), lr=1e-2, betas=(0.5, 0.9))
        for module in (transport, potentials)
    ]
    for step in range(steps):
        for player in players:
            player.param_groups[0]["lr"] = 1e-2 * min(1.0, 2 * (1 - step / steps))
        z, sources = draw(SAMPLES, generator)
        for _ in range(2):  # T answers what the potentials ask, so it moves more often
            b = transport(z)
            cost, own = barycenter_losses(z, b, potentials(b), sources, WEIGHTS, cost=squared_cost)
            players[0].zero_grad()
            (cost - own).backward()
            players[0].step()
        b = transport(z).detach()
        _, own = barycenter_losses(z, b, potentials(b), sources, WEIGHTS, cost=squared_cost)
        players[1].zero_grad()
        own.backward()
        players[1].step()
        with torch.no_grad():
            for kept, new in zip(average.parameters(), transport.parameters(), strict=True):
                kept.lerp_(new, 0.02)
    return average


@torch.no_grad()
def errors(transport: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """Largest error over the sources of the mean, relative to the barycenter's spread, and of the
    covariance, relative in Frobenius norm."""
    mean = WEIGHTS @ MEANS
    root = torch.einsum("k,kij->ij", WEIGHTS, roots())
    covariance = root @ root
    z, sources = draw(20_000, torch.Generator().manual_seed(1))
    points = transport(z).flatten(1)
    off_mean, off_covariance = [], []
    for source in range(3):
        cloud = points[sources == source]
        off_mean.append(float((cloud.mean(dim=0) - mean).norm() / covariance.trace().sqrt()))
        off_covariance.append(float((cloud.T.cov() - covariance).norm() / covariance.norm()))
    return max(off_mean), max(off_covariance)


@pytest.mark.usefixtures("one_thread")
def test_the_game_finds_the_barycenter_of_gaussians() -> None:
    with torch.random.fork_rng(devices=[]):
        mean, covariance = errors(play(STEPS))
    assert mean < 0.05
    assert covariance < 0.05


def test_the_sources_themselves_are_far_from_their_barycenter() -> None:
    mean, covariance = errors(lambda z: z)
    assert mean > 1
    assert covariance > 0.3


def test_the_true_maps_have_no_error() -> None:
    """Each source's optimal map is affine; sent through it, every source is the barycenter."""
    root = torch.einsum("k,kij->ij", WEIGHTS, roots())
    maps = root @ torch.linalg.inv(roots())  # the covariances commute, so these are optimal

    def transport(z: Tensor) -> Tensor:
        sources = torch.arange(3).repeat_interleave(len(z) // 3)
        moved = torch.einsum("nij,nj->ni", maps[sources], z.flatten(1) - MEANS[sources])
        return moved + WEIGHTS @ MEANS

    mean, covariance = errors(transport)
    assert mean == pytest.approx(0, abs=0.02)
    assert covariance == pytest.approx(0, abs=0.03)


@torch.no_grad()
def test_potentials_of_the_game_sum_to_zero() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        potentials = Potentials(2, WEIGHTS, hidden=32)
    z, _ = draw(SAMPLES, torch.Generator().manual_seed(0))
    values = potentials(z)
    assert values.abs().max() > 1e-3
    assert (values @ WEIGHTS).abs().max() < 1e-6


def test_gradients_are_finite_where_nothing_is_moved() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        potentials = Potentials(2, WEIGHTS, hidden=32)
    z, sources = draw(4, torch.Generator().manual_seed(0))
    b = z.clone().requires_grad_()
    cost, own = barycenter_losses(z, b, potentials(b), sources, WEIGHTS)
    (cost - own).backward()
    assert cost.item() == 0
    assert b.grad is not None
    assert torch.isfinite(b.grad).all()
    assert b.grad.any()
