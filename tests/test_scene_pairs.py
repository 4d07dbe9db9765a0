"""Pairs with scenes: seeded, true to what they say, and as files have them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch

from napari_baryir.network.scene import at_place
from napari_baryir.training.data.images import load_clean_files
from napari_baryir.training.data.mixtures import (
    GRID,
    NO_DOMAIN,
    Mixture,
    apply_chain,
    draw_chain,
    draw_join,
    joined_labels,
)
from napari_baryir.training.data.scene_pairs import SceneBatch, ScenePairs, with_joins
from napari_baryir.training.degradations import DEGRADATIONS, PLAIN, degrade
from napari_baryir.training.degradations.fields import path_kernel
from napari_baryir.training.degradations.files import FileFormat, through_file
from napari_baryir.training.degradations.photo import sensor_noise

COMPOSITIONS: dict[str, dict[str, int]] = {
    "photo": {"noise": 1, "haze": 1, "low light": 1, "clean": 2},
    "microscopy": {"noise": 1, "background": 1, "stripes": 1, "clean": 2},
}
Profile = Literal["photo", "microscopy"]


def pairs(profile: Profile, seed: int = 0) -> ScenePairs:
    """Batches of scikit-image's pictures."""
    files = load_clean_files("skimage", profile)
    return ScenePairs(files, profile, COMPOSITIONS[profile], 64, seed, 2, 1, side=64)


@pytest.fixture(scope="module", params=["photo", "microscopy"])
def batches(request: pytest.FixtureRequest) -> list[SceneBatch]:
    """Some steps of each profile."""
    return [pairs(request.param)[step] for step in range(4)]


def test_the_same_step_gives_the_same_batch() -> None:
    for a, b in zip(pairs("photo")[3], pairs("photo")[3], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(pairs("photo", seed=1)[3].degraded, pairs("photo")[3].degraded)


def test_shapes_agree_and_places_lie_inside(batches: list[SceneBatch]) -> None:
    for batch in batches:
        assert batch.degraded.shape == batch.clean.shape == (8, 3, 64, 64)
        assert batch.reduced.shape == batch.reduced_clean.shape
        assert max(batch.reduced.shape[2:]) == 64
        assert batch.labels.shape == (8, GRID, GRID)
        ends = batch.place[:, :2] + batch.place[:, 2:]
        assert bool((batch.place >= 0).all())
        assert bool((ends <= 1 + 1e-6).all())


def test_a_patch_is_the_part_of_its_field_that_its_place_says(batches: list[SceneBatch]) -> None:
    for batch in batches:
        seen = at_place(batch.reduced, batch.place, (64, 64))
        coarse, own = (torch.nn.functional.avg_pool2d(x, 16) for x in (seen, batch.degraded))
        spread = float(own.std())
        assert float((coarse - own).abs().mean()) < 0.5 * spread


def test_what_is_fine_is_its_own_target() -> None:
    made = pairs("photo")
    for step in range(3):
        batch = made[step]
        clean = batch.labels[:, 0, 0] == 3
        alone = clean & (batch.labels == 3).all(dim=(1, 2))
        assert bool(alone.any())
        torch.testing.assert_close(batch.clean[alone], batch.degraded[alone])


def test_what_is_to_stay_is_in_the_target() -> None:
    made, found = pairs("photo"), 0
    for step in range(6):
        batch = made[step]
        for number in range(3):  # noise, haze and low light, each alone
            if batch.removed[number, number] == 0:
                torch.testing.assert_close(batch.clean[number], batch.degraded[number])
                found += 1
    assert found


def test_a_chain_can_be_repeated_without_one_of_its_steps() -> None:
    rng = np.random.default_rng(0)
    field = np.full((64, 64, 3), 0.4, np.float32)
    chain = draw_chain(Mixture(("haze", "noise"), "in turn"), rng)
    hazy = apply_chain(field, chain[:1], "photo")
    both = apply_chain(field, chain, "photo")
    assert np.abs(both.mean(axis=(0, 1)) - hazy.mean(axis=(0, 1))).max() < 0.03
    np.testing.assert_array_equal(both, apply_chain(field, chain, "photo"))


def test_joins_lie_anywhere_and_say_where() -> None:
    rng = np.random.default_rng(0)
    edges, found = set(), set()
    for _ in range(40):
        share = draw_join((96, 96), (16, 16), 64, rng)
        assert 0 <= share.min() <= share.max() <= 1
        window = share[16:80, 16:80]
        found |= set(np.unique(joined_labels(window)).tolist())
        edges |= set(np.flatnonzero(np.abs(np.diff(share[48])) > 0.4) % 8)
    assert len(edges) > 3
    assert found == {0, 1, NO_DOMAIN}


def test_mosaics_and_padding_are_not_on_the_grid() -> None:
    rng = np.random.default_rng(0)
    field = np.full((96, 96), 0.5, np.float32)
    lines: set[int] = set()
    for _ in range(200):
        joined = with_joins(field, rng)
        lines |= set(np.flatnonzero(np.abs(np.diff(joined, axis=0)).max(axis=1) > 0.01) % 8)
    assert len(lines) == 8


@pytest.mark.parametrize("profile", DEGRADATIONS)
def test_every_variant_is_seeded_and_finite(profile: str) -> None:
    shape = (80, 88, 3) if profile == "photo" else (80, 88)
    clean = np.random.default_rng(0).random(shape, np.float32)
    for domain, known in DEGRADATIONS[profile].items():
        for variant in (PLAIN, *known.others):
            for level in (0.0, 1.0):
                made = [
                    degrade(
                        clean,
                        domain,
                        np.random.default_rng(7),
                        profile=profile,
                        level=level,
                        variant=variant,
                    ).image
                    for _ in "12"
                ]
                np.testing.assert_array_equal(*made)
                assert np.isfinite(made[0]).all()
                assert made[0].shape == shape


def test_sensor_noise_grows_with_light_and_level() -> None:
    def spread(grey: float, level: float) -> float:
        image = np.full((128, 128, 3), grey, np.float32)
        noisy = sensor_noise(image, level, np.random.default_rng(0)) ** 2.2
        return float(noisy.std())

    assert spread(0.8, 0.5) > spread(0.3, 0.5)
    assert spread(0.5, 0.9) > 3 * spread(0.5, 0.2)


def test_shake_keeps_the_light_and_the_position() -> None:
    for seed in range(10):
        kernel = path_kernel(15.0, np.random.default_rng(seed))
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        half = kernel.shape[0] // 2
        along = np.arange(-half, half + 1)
        assert abs((kernel.sum(axis=1) * along).sum()) < 0.05
        assert abs((kernel.sum(axis=0) * along).sum()) < 0.05


def test_files_hold_eight_bits_and_jpeg_loses_more(photo: Any) -> None:
    saved = through_file(photo, FileFormat(None))
    np.testing.assert_allclose(saved * 255, np.rint(saved * 255), atol=1e-4)
    errors = [
        float(np.abs(through_file(photo, FileFormat(quality)) - photo).mean())
        for quality in (98, 75, 40)
    ]
    assert errors == sorted(errors)


@pytest.fixture
def photo() -> Any:
    """A photograph, (128, 128, 3) float32 in [0, 1]."""
    from skimage import data

    return (data.astronaut()[:128, 180:308] / 255).astype(np.float32)
