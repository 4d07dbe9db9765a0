"""The pieces of fine-tuning: low rank, neighbours, the camera's noise, samples and sizes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_baryir.errors import DataError, DeviceError
from napari_baryir.network import BaryIR
from napari_baryir.network.variants import VARIANTS
from napari_baryir.training.data.made_pairs import PairDataset
from napari_baryir.training.degradations.camera import CameraNoise, fit_camera_noise
from napari_baryir.training.finetune.low_rank import add_low_rank, merged_state
from napari_baryir.training.finetune.planes import FilePlanes
from napari_baryir.training.finetune.samples import (
    GAMMA,
    FinetuneDataset,
    LikeCamera,
    NoisySamples,
    PairSamples,
    Rotation,
    complete,
    corrected_target,
    draw_neighbors,
    take_neighbors,
)
from napari_baryir.training.finetune.settings import FinetuneSettings, choose_sizes

CPU = torch.device("cpu")


def smooth(side: int, seed: int = 0) -> NDArray[np.float32]:
    """A smooth scene over [0, 1]."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 6)
    return np.asarray((field - field.min()) / np.ptp(field), np.float32)


@pytest.fixture
def model() -> BaryIR:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BaryIR(VARIANTS["tiny"], domains=("noise",))


# Low rank


def test_low_rank_leaves_the_base_weights_untouched_and_merges_exactly(model: BaryIR) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.rand(2, 3, 32, 32)
    untouched = model(x).restored
    adapted = add_low_rank(model, 4)
    assert adapted
    torch.testing.assert_close(model(x).restored, untouched, rtol=0, atol=0)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    for _ in range(2):  # one adapter starts at zero, and so the other one's first gradient is
        optimizer.zero_grad()
        (model(x).restored - 0.3).square().mean().backward()
        optimizer.step()
    for name in adapted:
        original = model.get_submodule(name).parametrizations["weight"].original
        torch.testing.assert_close(original, before[f"{name}.weight"], rtol=0, atol=0)
    learnt = model(x).restored
    assert float((learnt - untouched).detach().abs().max()) > 1e-4
    merged = merged_state(copy.deepcopy(model))
    assert merged.keys() == before.keys()
    plain = BaryIR(model.config, domains=model.domains)
    plain.load_state_dict(merged)
    torch.testing.assert_close(plain(x).restored, learnt, rtol=0, atol=0)
    torch.testing.assert_close(model(x).restored, learnt, rtol=0, atol=0)
    update = (merged[f"{adapted[0]}.weight"] - before[f"{adapted[0]}.weight"]).flatten(1)
    assert int(torch.linalg.matrix_rank(update, rtol=1e-3)) <= 4


# Neighbours


def test_neighbours_are_different_and_share_a_side() -> None:
    first, second = draw_neighbors(64, 64, np.random.default_rng(0))
    steps = abs(first // 2 - second // 2) + abs(first % 2 - second % 2)
    assert (steps == 1).all()
    pairs = set(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True))
    assert len(pairs) == 8


def test_taken_neighbours_are_pixels_of_their_cells() -> None:
    image = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).reshape(2, 3, 4, 6)
    choice = torch.tensor([[[0, 1, 2], [3, 0, 1]], [[1, 1, 1], [2, 2, 2]]])
    taken = take_neighbors(image, choice)
    for b in range(2):
        for i in range(2):
            for j in range(3):
                row, column = divmod(int(choice[b, i, j]), 2)
                expected = image[b, :, 2 * i + row, 2 * j + column]
                assert torch.equal(taken[b, :, i, j], expected)


def test_one_corrected_target_is_the_published_loss() -> None:
    rng = np.random.default_rng(1)
    noisy, restored = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    choices = torch.from_numpy(draw_neighbors(8, 8, rng))[None]
    answer = torch.rand(1, 3, 4, 4, requires_grad=True)
    first, second = choices.unbind(dim=1)
    error = answer - take_neighbors(noisy, second)
    gap = take_neighbors(restored, first) - take_neighbors(restored, second)
    published = error.square().sum() + GAMMA * (error - gap).square().sum()
    ours = (1 + GAMMA) * (answer - corrected_target(noisy, restored, choices)).square().sum()
    a, b = (torch.autograd.grad(loss, answer, retain_graph=True)[0] for loss in (published, ours))
    torch.testing.assert_close(a, b)


# The camera


@pytest.mark.parametrize(("gain", "offset", "read"), [(2.5, 100, 0), (2.5, 100, 2), (0.7, 300, 1)])
def test_gain_and_offset_are_recovered(gain: float, offset: float, read: float) -> None:
    rng = np.random.default_rng(3)
    signal = 200 * smooth(512)
    image = offset + gain * (rng.poisson(signal) + read * rng.standard_normal(signal.shape))
    noise = fit_camera_noise([np.rint(image).astype(np.uint16)])
    # The stated tolerance: 10 % of the gain, and the offset to 10 photons.
    assert noise.gain == pytest.approx(gain, rel=0.1)
    assert noise.offset == pytest.approx(offset - gain * read**2, abs=10 * gain)


def test_noise_that_does_not_grow_has_no_gain() -> None:
    rng = np.random.default_rng(0)
    slope = 20 + 200 * np.tile(np.linspace(0, 1, 256), (256, 1))
    noise = fit_camera_noise([slope + 7 * rng.standard_normal(slope.shape)])
    made = noise.add(np.full((256, 256), 100, np.float32), rng)
    assert made.std() == pytest.approx(7, rel=0.1)


def test_made_noise_is_that_of_the_camera_in_any_units() -> None:
    camera, rng = CameraNoise(2.0, -200.0, 100.0, 500.0), np.random.default_rng(0)
    assert camera.offset == 100
    scaled = camera.scaled(100.0, 500.0)
    made = scaled.add(np.full((300, 300), 0.5, np.float32), rng)
    assert made.mean() == pytest.approx(0.5, abs=1e-3)
    assert (made * 400).var() == pytest.approx(2.0 * (300 - 100), rel=0.03)


def test_structure_is_not_taken_for_noise() -> None:
    rng = np.random.default_rng(0)
    signal = 300 * smooth(512) + 100 * (np.indices((512, 512)).sum(axis=0) % 96 < 6)
    noise = fit_camera_noise([100 + 2.0 * rng.poisson(signal)])
    assert noise.gain == pytest.approx(2.0, rel=0.2)


def test_too_little_to_measure_is_refused() -> None:
    with pytest.raises(DataError, match="too few to measure"):
        fit_camera_noise([np.random.default_rng(0).standard_normal((24, 24))])


# Samples


def noisy_files() -> list[FilePlanes]:
    return [FilePlanes("a", [smooth(80)], [])]


def test_steps_decide_what_is_drawn_and_labels_name_the_domain(model: BaryIR) -> None:
    clean = smooth(80)
    files = [FilePlanes("a", [clean + 1], [clean])]
    rehearsed = PairDataset([[clean]], "microscopy", {"noise": 1}, 32, 0)
    dataset = FinetuneDataset(
        Rotation([(1, PairSamples(files, 32, 0))], 2), Rotation([(0, rehearsed)], 1)
    )
    a, b, c = dataset[3], dataset[3], dataset[4]
    assert torch.equal(a.batch.degraded, b.batch.degraded)
    assert not torch.equal(a.batch.degraded, c.batch.degraded)
    assert a.batch.labels.flatten(1).unique(dim=1).squeeze(1).tolist() == [1, 1, 0]
    # The same place of both, turned alike.
    torch.testing.assert_close(a.batch.degraded[:2] - 1, a.batch.clean[:2], rtol=0, atol=1e-6)
    assert complete(a, model, model, CPU, None).clean.equal(a.batch.clean)


def test_what_has_no_clean_image_is_learnt_from_the_starting_model(model: BaryIR) -> None:
    rehearsed = PairDataset([[smooth(80)]], "microscopy", {"noise": 1}, 32, 0)
    dataset = FinetuneDataset(Rotation([], 0), Rotation([(0, rehearsed)], 2, distilled=True))
    draw = dataset[0]
    assert draw.distilled.tolist() == [True, True]
    batch = complete(draw, model, model, CPU, None)
    with torch.no_grad():
        torch.testing.assert_close(batch.clean, model(batch.degraded).restored)


def test_noisy_samples_hold_two_halves_of_a_noisy_image(model: BaryIR) -> None:
    dataset = FinetuneDataset(
        Rotation([(0, NoisySamples(noisy_files(), 32, 0))], 2), Rotation([], 0)
    )
    draw = dataset[0]
    assert draw.noisy is not None
    assert draw.noisy.shape == (2, 3, 64, 64)
    assert draw.batch.degraded.shape == draw.batch.clean.shape == (2, 3, 32, 32)
    batch = complete(draw, model, model, CPU, None)
    assert not batch.clean.equal(draw.batch.clean)
    assert batch.degraded.equal(draw.batch.degraded)


def test_clean_images_get_the_cameras_noise() -> None:
    noise = CameraNoise(0.01, 0.0, 0.0, 1.0)
    dataset = LikeCamera([[smooth(128)]], "microscopy", {"mine": 1}, 32, 0, noise=noise)
    batch = dataset[0]
    assert float((batch.degraded - batch.clean).std()) > 0.02


# Sizes


def test_batch_and_patch_follow_free_memory(model: BaryIR) -> None:
    settings = FinetuneSettings()
    sizes = [choose_sizes(settings, model, CPU, free) for free in (2**34, 2**29, 2**27, 2**25)]
    pixels = [batch * patch**2 for batch, patch in sizes]
    assert sizes[0] == (12, 96)
    assert pixels == sorted(pixels, reverse=True)
    assert pixels[-1] < pixels[0]
    with pytest.raises(DeviceError, match="does not fit"):
        choose_sizes(settings, model, CPU, 2**20)
    assert choose_sizes(FinetuneSettings(batch=2, patch=32), model, CPU, 2**34) == (2, 32)
