"""Scenes: one decision for a plane, physical, the identity where nothing is wrong."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch

from napari_baryir import estimate_degradation, restore
from napari_baryir.errors import InputError
from napari_baryir.imaging.reduction import Reduction, area_weights, reduced
from napari_baryir.network import BaryIR
from napari_baryir.network.scene import (
    Scene,
    at_place,
    correct,
    guided,
    scene_size,
    whole,
)
from napari_baryir.network.steering import ResidualSubspaces
from napari_baryir.network.variants import VARIANTS
from napari_baryir.weights.files import load_weights, save_weights

DOMAINS = ("noise", "haze", "low light", "blur", "clean")
MORE = {"context": 2, "kernel_bank": 2, "spectrum": 4, "deblurring": 2, "scene": 64, "steering": 2}
CONFIG = VARIANTS["tiny"].model_copy(update=MORE)


@pytest.fixture(scope="module")
def network() -> BaryIR:
    """A tiny network with a scene and steering, under whose seeded weights every layer acts."""
    torch.manual_seed(0)
    model = BaryIR(CONFIG, domains=DOMAINS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def only_coarse(network: BaryIR) -> BaryIR:
    """The same network with its gate shut: only the scene acts."""
    model = BaryIR(CONFIG, domains=DOMAINS)
    model.load_state_dict(network.state_dict())
    with torch.no_grad():
        model.get_parameter("decoder.gate.weight").zero_()
        model.get_parameter("decoder.gate.bias").fill_(-1e4)
    return model.eval()


def picture(height: int, width: int, seed: int = 0) -> Any:
    """Smooth colours with some noise, (H, W, 3) float32 in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 30
    clean = np.stack([np.sin(y), np.cos(x + y), np.sin(x)], axis=-1) / 3 + 0.5
    return np.clip(clean + rng.normal(0, 0.03, clean.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (100, 100), (30, 2000), (5, 7)])
def test_the_reduced_picture_has_the_long_side_and_whole_cells(size: tuple[int, int]) -> None:
    height, width = scene_size(*size, 128)
    assert max(height, width) == 128
    assert height % 8 == width % 8 == 0
    assert min(height, width) >= 8


@pytest.mark.parametrize(("length", "size"), [(1000, 64), (640, 128), (50, 128), (64, 64)])
def test_area_weights_share_every_pixel_once(length: int, size: int) -> None:
    weights = area_weights(length, size)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=0), size / length, atol=1e-5)


def test_a_plane_read_in_bands_is_reduced_as_at_once() -> None:
    image = picture(203, 310)
    reduction = Reduction(203, 310, (40, 64), 3)
    for start in range(0, 203, 37):
        rows = image[start : start + 37]
        reduction.add(start, rows, np.zeros(rows.shape, bool))
    np.testing.assert_allclose(reduction.picture, reduced(image, (40, 64)), atol=1e-6)
    np.testing.assert_allclose(reduction.picture.mean(), image.mean(), atol=1e-4)


def test_an_absent_scene_changes_nothing() -> None:
    x = torch.rand(2, 3, 16, 24)
    physics = ("low light", "haze", "background")
    none = Scene(torch.zeros(2, 3, 8, 8), torch.rand(2, 3), torch.zeros(2, 1), torch.zeros(2, 4), x)
    torch.testing.assert_close(correct(x, none, torch.zeros(2, 3, 16, 24), physics, {}), x)


def test_haze_is_undone_by_its_own_model() -> None:
    clean = torch.rand(1, 3, 32, 32)
    depth = torch.linspace(0.1, 1.5, 32).expand(1, 1, 32, 32)
    airlight = torch.tensor([[0.9, 0.85, 0.8]])
    t = torch.exp(-depth)
    hazy = clean * t + airlight[..., None, None] * (1 - t)
    scene = Scene(depth, airlight, torch.zeros(1, 1), torch.zeros(1, 4), clean)
    torch.testing.assert_close(correct(hazy, scene, depth, ("haze",), {}), clean, atol=1e-5, rtol=0)
    amounts = {"haze": torch.zeros(1, 1, 1, 1)}
    torch.testing.assert_close(correct(hazy, scene, depth, ("haze",), amounts), hazy)


def test_tiles_sample_what_the_whole_plane_samples() -> None:
    maps = torch.rand(1, 2, 12, 16)
    everything = at_place(maps, whole(1), (96, 128))
    place = torch.tensor([[24 / 96, 40 / 128, 32 / 96, 48 / 128]])
    part = at_place(maps, place, (32, 48))
    torch.testing.assert_close(part, everything[..., 24:56, 40:88], atol=1e-5, rtol=0)


def test_the_guided_filter_keeps_constant_maps_and_follows_edges() -> None:
    guide = torch.zeros(1, 1, 48, 48)
    guide[..., 24:] = 1
    flat = torch.full((1, 1, 48, 48), 0.7)
    torch.testing.assert_close(guided(guide, flat), flat, atol=1e-5, rtol=0)
    soft = torch.linspace(0, 1, 48).expand(1, 1, 48, 48)
    bent = guided(guide, soft)
    assert (bent[..., 24] - bent[..., 23]).mean() > 2 * (soft[..., 24] - soft[..., 23]).mean()


@pytest.mark.parametrize("tile", [64, 96])
def test_tiles_agree_with_the_whole_on_what_is_coarse(only_coarse: BaryIR, tile: int) -> None:
    model, image = only_coarse, picture(150, 220)
    eager = restore(image, model=model, tile=tile).image
    np.testing.assert_allclose(eager, restore(image, model=model, tile="whole").image, atol=2e-5)
    assert np.abs(eager - image).max() > 0.01
    lazy = restore(da.from_array(image, chunks=(60, 70, 3)), model=model, tile=tile)
    np.testing.assert_allclose(lazy.image.compute(), eager, atol=2e-5)


def test_lazy_images_are_restored_and_estimated_as_in_memory(network: BaryIR) -> None:
    stack = np.stack([picture(90, 120, seed)[..., 0] for seed in range(2)])
    lazy = da.from_array(stack, chunks=(1, 50, 64))
    eager = restore(stack, axes="TYX", model=network, tile=64, intensity=(0, 1)).image
    again = restore(lazy, axes="TYX", model=network, tile=64, intensity=(0, 1)).image
    np.testing.assert_allclose(again.compute(), eager, atol=2e-5)


def test_an_ensemble_turns_the_scene_with_the_image(only_coarse: BaryIR) -> None:
    image = picture(72, 120)
    several = restore(image, model=only_coarse, ensemble=True).image
    np.testing.assert_allclose(several, restore(image, model=only_coarse).image, atol=2e-5)


def test_directions_are_orthonormal_and_keeping_takes_out_one_domain_alone() -> None:
    torch.manual_seed(1)
    subspaces = ResidualSubspaces(3, 2, 16)
    flat = subspaces.basis().flatten(0, 1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(6), atol=1e-5, rtol=0)
    r = torch.randn(2, 16, 4, 4)
    torch.testing.assert_close(subspaces.keep(r, torch.ones(2, 3)), r)
    kept = subspaces.keep(r, torch.tensor([[1.0, 0.0, 1.0]]).expand(2, 3))
    along = torch.einsum("krd,bdhw->bkrhw", subspaces.basis(), kept)
    assert along[:, 1].abs().max() < 1e-5
    before = torch.einsum("krd,bdhw->bkrhw", subspaces.basis(), r)
    torch.testing.assert_close(along[:, 0], before[:, 0], atol=1e-5, rtol=0)


def test_residuals_inside_their_subspace_cost_nothing() -> None:
    subspaces = ResidualSubspaces(2, 2, 8)
    own = subspaces.basis().detach()[:, 0]
    with torch.no_grad():
        assert float(subspaces.loss(own, torch.tensor([0, 1]))) == pytest.approx(0, abs=1e-5)
        assert float(subspaces.loss(own, torch.tensor([1, 0]))) == pytest.approx(1, abs=1e-5)


def test_asking_for_one_degradation_leaves_the_others(network: BaryIR) -> None:
    image = picture(96, 96)
    everything = restore(image, model=network)
    noise = restore(image, model=network, remove="noise")
    assert noise.settings["remove"] == {"noise": 1.0}
    assert everything.settings["remove"] == "auto"
    assert not np.array_equal(noise.image, everything.image)
    named = restore(image, model=network, remove=["noise", "haze", "low light", "blur"]).image
    np.testing.assert_allclose(named, everything.image, atol=1e-5)
    again = restore(image, **noise.settings | {"model": network}).image
    np.testing.assert_array_equal(again, noise.image)


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ("fog", "does not know fog"),
        ({"noise": 2}, "amount from 0 to 1"),
        ({}, "give 'auto', names"),
        (3, "give 'auto', names"),
    ],
)
def test_what_cannot_be_removed_is_refused(network: BaryIR, remove: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        restore(picture(32, 32), model=network, remove=remove)


def test_networks_without_steering_say_so(tiny_model: BaryIR) -> None:
    with pytest.raises(InputError, match="cannot leave any of it"):
        restore(picture(32, 32), model=tiny_model, remove="noise")


def test_weights_with_scenes_come_back_the_same(network: BaryIR, tmp_path: Any) -> None:
    path = tmp_path / "scene.safetensors"
    save_weights(network, path)
    loaded = load_weights(path)
    assert loaded.degradations == network.degradations
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x).restored, network(x).restored)


def test_a_network_for_more_domains_restores_the_same(network: BaryIR) -> None:
    more = network.for_domains(("noise", "haze", "low light", "blur", "mine", "clean")).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(more(x).restored, network(x).restored)
    with pytest.raises(InputError, match="whole scenes"):
        network.for_domains(("noise", "haze"))


def test_estimates_read_the_scene_too(network: BaryIR) -> None:
    latents = network.encode(torch.rand(1, 3, 64, 96))
    scene = network.look(torch.rand(1, 3, 48, 64))
    evidence = network.evidence(latents, scene)
    assert evidence.shape == (1, network.evidence_width, 8, 12)
    assert network.evidence_width == 2 * network.embedding_width
    with pytest.raises(Exception, match="not calibrated"):
        estimate_degradation(picture(32, 32), model=network)
