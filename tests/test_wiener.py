"""The filters that a bank starts with undo blur, each its own and together all of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from napari_baryir.errors import DataError
from napari_baryir.network import BaryIR
from napari_baryir.network.config import GatedConfig
from napari_baryir.training.bank import deblurring_filters, seed_bank, wiener_filter
from napari_baryir.training.degradations import random_blur
from napari_baryir.training.degradations.fields import convolve, line_kernel
from napari_baryir.training.recipe import load_recipe
from napari_baryir.training.state import start_state
from napari_baryir.weights.files import save_weights

SIZE = 13


def scene() -> NDArray[np.float32]:
    """Edges in all directions, (96, 96), over [0.2, 0.8]."""
    rng = np.random.default_rng(5)
    image = np.full((96, 96), 0.5, np.float32)
    y, x = np.mgrid[:96, :96]
    for _ in range(40):
        angle, place = rng.uniform(0, np.pi), rng.uniform(-40, 40)
        side = (x - 48) * np.cos(angle) + (y - 48) * np.sin(angle) > place
        image = np.where(side, image, 0.8 * image + 0.2 * rng.uniform(0.2, 0.8))
    return image.astype(np.float32)


def error(image: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Mean square error away from the edges."""
    inner = np.s_[16:-16, 16:-16]
    return float(np.square(image[inner] - truth[inner]).mean())


def correlated(image: NDArray[np.float32], kernel: NDArray[np.float64]) -> NDArray[np.float32]:
    """As a convolution layer applies a filter."""
    filters = torch.from_numpy(kernel).float()[None, None]
    return F.conv2d(torch.from_numpy(image)[None, None], filters, padding=SIZE // 2)[0, 0].numpy()


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
def test_the_filter_of_a_blur_undoes_it(angle: float) -> None:
    truth = scene()
    kernel = line_kernel(8.0, angle, 0.4)
    blurred = convolve(truth, kernel)
    undone = correlated(blurred, wiener_filter(kernel, SIZE))
    assert error(undone, truth) < 0.5 * error(blurred, truth)


@pytest.mark.parametrize("profile", ["photo", "microscopy"])
def test_a_mixture_of_components_undoes_blurs_that_were_not_drawn(profile: str) -> None:
    truth = scene()
    bank = deblurring_filters(partial(random_blur, profile), 24, SIZE).numpy().astype(float)
    gains = []
    for seed in range(100, 110):
        kernel = random_blur(profile, np.random.default_rng(seed))
        blurred = convolve(truth, kernel)
        wanted = wiener_filter(kernel, SIZE)
        wanted[SIZE // 2, SIZE // 2] -= 1
        mix, *_ = np.linalg.lstsq(bank.reshape(24, -1).T, wanted.ravel(), rcond=None)
        undone = blurred + correlated(blurred, np.tensordot(mix, bank, 1))
        gains.append(error(blurred, truth) / error(undone, truth))
        assert np.abs(mix).max() < 10
    assert np.median(gains) > 1.5


def test_a_network_starts_with_them() -> None:
    model = BaryIR(
        GatedConfig(width=8, spectrum=4, deblurring=4, kernel_size=7), domains=("noise",)
    )
    seed_bank(model, "photo")
    expected = deblurring_filters(partial(random_blur, "photo"), 4, 7)
    torch.testing.assert_close(
        model.get_parameter("decoder.deblurring.filters.weight")[:, 0], expected
    )


def test_a_run_may_start_from_a_model_without_filters_and_from_no_other_network(
    tmp_path: Path,
) -> None:
    recipe = load_recipe("smoke", [])
    start = BaryIR(recipe.network, domains=tuple(recipe.data.batch))
    save_weights(start, tmp_path / "start.safetensors")
    init = f"init={tmp_path / 'start.safetensors'}"
    larger = load_recipe("smoke", [init, "network.spectrum=4", "network.deblurring=4"])
    model = start_state(larger, torch.device("cpu")).model
    for name, value in start.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=1e-3)
    assert model.get_parameter("decoder.deblurring.filters.weight").shape == (4, 1, 13, 13)
    with pytest.raises(DataError, match="network"):
        start_state(load_recipe("smoke", [init, "network.width=16"]), torch.device("cpu"))
