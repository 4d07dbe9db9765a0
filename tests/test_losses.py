"""The losses against slow loops in float64, and what they must not do."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from napari_baryir.training.game import Potentials
from napari_baryir.training.losses import (
    barycenter_losses,
    barycenter_residual_orthogonality,
    fidelity_loss,
    inter_residual_contrast,
    pooled_windows,
    source_means,
    transport_cost,
    window_sources,
)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: Tensor, b: Tensor) -> float:
    dot = sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))
    return dot / math.sqrt(sum(x * x for x in a.tolist()) * sum(y * y for y in b.tolist()))


def slow_contrast(embeddings: Tensor, sources: list[int], temperature: float) -> float:
    """IRC by its definition: one anchor, one positive, one other at a time."""
    losses = []
    for i, source in enumerate(sources):
        others = [j for j in range(len(sources)) if j != i]
        positives = [j for j in others if sources[j] == source]
        if not positives:
            continue
        similar = {j: math.exp(cosine(embeddings[i], embeddings[j]) / temperature) for j in others}
        losses.append(-math.log(sum(similar[j] for j in positives) / sum(similar.values())))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("sources", [[0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 2, 2], [0, 1, 1, 1, 1, 3]])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_contrast_agrees_with_its_definition(sources: list[int], temperature: float) -> None:
    embeddings = randn(6, 5)
    loss = inter_residual_contrast(embeddings, torch.tensor(sources), temperature)
    assert loss.item() == pytest.approx(slow_contrast(embeddings, sources, temperature), rel=1e-5)


def test_contrast_of_separated_sources_costs_nothing() -> None:
    embeddings = torch.eye(3).repeat_interleave(2, dim=0)
    loss = inter_residual_contrast(embeddings, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert loss.item() == pytest.approx(0, abs=1e-5)


def test_contrast_without_positives_is_zero_and_passes_no_gradient() -> None:
    embeddings = randn(3, 4).requires_grad_()
    loss = inter_residual_contrast(embeddings, torch.tensor([0, 1, 2]))
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


def test_contrast_stays_finite_in_16_bits_and_at_zero() -> None:
    for embeddings in (torch.ones(4, 8, dtype=torch.float16), torch.zeros(4, 8)):
        variable = embeddings.clone().requires_grad_()
        loss = inter_residual_contrast(variable, torch.tensor([0, 0, 1, 1]))
        loss.backward()
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
        assert variable.grad is not None
        assert torch.isfinite(variable.grad).all()


def test_orthogonality_agrees_with_its_definition() -> None:
    b, r = randn(4, 6), randn(4, 6, seed=1)
    pairs = [cosine(x, y) ** 2 for x, y in itertools.product(b, r)]
    loss = barycenter_residual_orthogonality(b, r)
    assert loss.item() == pytest.approx(sum(pairs) / len(pairs), rel=1e-5)


def test_orthogonal_embeddings_cost_nothing_and_parallel_ones_one() -> None:
    b = torch.eye(6)[:3]
    assert barycenter_residual_orthogonality(b, torch.eye(6)[3:]).item() == 0
    assert barycenter_residual_orthogonality(b[:1], -7 * b[:1]).item() == pytest.approx(1)


def test_transport_costs_the_root_mean_square_whatever_the_size() -> None:
    z, b = randn(2, 3, 4, 5), randn(2, 3, 4, 5, seed=1)
    expected = [
        math.sqrt(sum(d * d for d in (z[i] - b[i]).flatten().tolist()) / 60) for i in range(2)
    ]
    assert transport_cost(z, b).tolist() == pytest.approx(expected)
    for side in (1, 4, 16):
        z = torch.full((1, 2, side, side), 3.0)
        assert transport_cost(z, torch.zeros_like(z)).item() == pytest.approx(3)


def test_transport_to_where_it_is_has_a_zero_gradient() -> None:
    z = randn(2, 3, 4, 4)
    b = z.clone()
    b[1] += 1
    b.requires_grad_()
    transport_cost(z, b).sum().backward()
    assert b.grad is not None
    assert not b.grad[0].any()
    assert torch.isfinite(b.grad).all()
    assert b.grad[1].any()


def test_source_means_weigh_each_source_by_lambda() -> None:
    values, weights = randn(5), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    mean = source_means(values, torch.tensor([0, 0, 2, 2, 2]), weights)
    expected = 0.5 * values[:2].mean() + 0.2 * values[2:].mean()  # source 1 is absent
    assert mean.item() == pytest.approx(expected.item())


def test_barycenter_terms_use_each_samples_own_potential() -> None:
    z, b, f = randn(3, 2, 2, 2), randn(3, 2, 2, 2, seed=1), randn(3, 2, seed=2)
    sources, weights = torch.tensor([1, 0, 1]), torch.tensor([0.25, 0.75], dtype=torch.float64)
    cost, potential = barycenter_losses(z, b, f, sources, weights)
    each = transport_cost(z, b)
    assert cost.item() == pytest.approx((0.25 * each[1] + 0.375 * (each[0] + each[2])).item())
    expected = 0.25 * f[1, 0] + 0.375 * (f[0, 1] + f[2, 1])
    assert potential.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("grid", [1, 2, 4])
def test_pooled_windows_are_means_in_the_order_of_the_samples(grid: int) -> None:
    r = randn(2, 3, 8, 12)
    rows, columns = 8 // grid, 12 // grid
    expected = [
        r[i, :, y * rows : (y + 1) * rows, x * columns : (x + 1) * columns].mean(dim=(1, 2))
        for i, y, x in itertools.product(range(2), range(grid), range(grid))
    ]
    torch.testing.assert_close(pooled_windows(r, grid), torch.stack(expected))


def test_windows_with_several_sources_or_none_have_no_source() -> None:
    labels = torch.tensor([[[0, 0, 2, 2]] * 4, [[1] * 4] * 3 + [[-1] * 4]])
    assert window_sources(labels, 1).tolist() == [-1, -1]
    assert window_sources(labels, 2).tolist() == [0, 2, 0, 2, 1, 1, -1, -1]
    assert torch.equal(window_sources(labels, 4), labels.flatten())


def test_fidelity_is_the_mean_distance_or_the_mean_log_of_each_images_error() -> None:
    restored, clean = randn(3, 3, 4, 4), randn(3, 3, 4, 4, seed=1)
    l1 = fidelity_loss(restored, clean, "l1")
    assert l1.item() == pytest.approx((restored - clean).abs().mean().item())
    errors = [((restored[i] - clean[i]) ** 2).mean().item() for i in range(3)]
    expected = sum(math.log(error + 2e-4) for error in errors) / 3
    assert fidelity_loss(restored, clean, "log_mse").item() == pytest.approx(expected)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (7, 12)])
def test_potentials_are_congruent_for_any_patch_size(size: tuple[int, int]) -> None:
    weights = torch.tensor([0.2, 0.5, 0.3])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        potentials = Potentials(6, weights, hidden=4)
    f = potentials(randn(5, 6, *size).float())
    assert f.shape == (5, 3)
    assert f.abs().max() > 1e-3
    torch.testing.assert_close(f @ weights, torch.zeros(5), atol=1e-6, rtol=0)


def test_potentials_share_no_weight_between_sources() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        potentials = Potentials(6, torch.tensor([0.5, 0.5]), hidden=4)
    b = randn(2, 6, 4, 4).float()
    before = potentials(b)
    with torch.no_grad():  # the second half of every layer is the second network
        for layer in (potentials.embed, potentials.spatial, potentials.mix, potentials.score):
            half = len(layer.weight) // 2
            layer.weight[half:] = 0
            assert layer.bias is not None
            layer.bias[half:] = 0
    g_first = potentials(b)[:, 0] * 2  # f_1 = (g_1 - g_2) / 2 and g_2 = 0
    g_second = g_first - before[:, 0] * 2
    torch.testing.assert_close(before[:, 1], (g_second - g_first) / 2)
    assert g_first.abs().max() > 1e-3
