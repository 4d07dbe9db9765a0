"""Degradations that training never sees: seeded, as strong as they say, none of training's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data, io

from napari_baryir.errors import DataError, InputError
from napari_baryir.training.degradations import DEGRADATIONS
from napari_baryir.training.degradations.photo import SIGMA_MAX
from napari_baryir.training.evaluate.unseen import (
    ALL,
    DRAWN,
    MIXTURES,
    SALT_AND_PEPPER,
    UNSEEN,
    list_unseen,
)
from napari_baryir.training.recipe import load_recipe


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small clean photograph."""
    path = tmp_path_factory.mktemp("photos") / "face.png"
    io.imsave(path, data.astronaut()[:96, 180:292], check_contrast=False)
    return path


def psnr(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


@pytest.mark.parametrize("domain", ALL)
def test_the_same_seed_degrades_the_same_and_keeps_8_bit_values(photo: Path, domain: str) -> None:
    (case,), (again,) = (list_unseen([photo], domains=[domain]) for _ in "12")
    (other,) = list_unseen([photo], domains=[domain], seed=1)
    pair = case.load()
    np.testing.assert_array_equal(pair.degraded, again.load().degraded)
    assert pair.degraded.shape == pair.clean.shape == (96, 112, 3)
    assert 5 < psnr(pair.degraded, pair.clean) < 45
    values = pair.degraded * 255
    assert np.abs(values - np.rint(values)).max() < 1e-3
    assert domain.startswith("jpeg") or not np.array_equal(other.load().degraded, pair.degraded)


def test_higher_quality_and_less_noise_are_nearer_to_the_truth(photo: Path) -> None:
    for kind in ("jpeg", "noise"):
        names = [name for name in UNSEEN if name.split()[0] == kind]
        scores = [
            psnr(p.degraded, p.clean)
            for p in (c.load() for c in list_unseen([photo], domains=names))
        ]
        assert scores == sorted(scores, reverse=kind == "noise")


def test_salt_and_pepper_hit_the_share_that_they_say(photo: Path) -> None:
    pair = list_unseen([photo], domains=["salt and pepper"])[0].load()
    hit = (np.abs(pair.degraded - pair.clean) > 1e-3).any(axis=-1)
    assert hit.mean() == pytest.approx(SALT_AND_PEPPER, abs=0.01)
    assert set(np.unique(pair.degraded[hit])) <= {0.0, 1.0}


def test_snow_brightens(photo: Path) -> None:
    pair = list_unseen([photo], domains=["snow"])[0].load()
    assert pair.degraded.mean() > pair.clean.mean() + 0.02


def test_noise_beyond_training_has_its_sigma(photo: Path) -> None:
    (case,) = list_unseen([photo], domains=["noise 75"])
    assert case.noisy
    pair = case.load()
    assert pair.sigma == 75 / 255
    middle = (pair.clean > 0.45) & (pair.clean < 0.55)
    # Values are cut off at 0 and 1, 1.7 sigma away: that leaves 0.921 of the standard deviation.
    expected = 0.921 * 75 / 255
    assert (pair.degraded - pair.clean)[middle].std() == pytest.approx(expected, rel=0.05)


def test_none_of_them_is_a_domain_or_a_level_of_training(photo: Path) -> None:
    assert not set(UNSEEN) & set(DEGRADATIONS["photo"])
    cases = list_unseen([photo], domains=list(UNSEEN))
    sigmas = [pair.sigma * 255 for pair in (c.load() for c in cases) if pair.sigma is not None]
    assert len(sigmas) == 2
    assert min(sigmas) > SIGMA_MAX


def test_mixtures_are_a_group_of_their_own_since_recipes_train_on_such(photo: Path) -> None:
    assert load_recipe("photo-compact").data.in_turn > 0
    listed = [case.domain for case in list_unseen([photo])]
    mixed = [name for name in listed if "+" in name]
    assert mixed == list(MIXTURES)
    assert all(name.startswith("mixture ") for name in mixed)
    assert set(listed) - set(mixed) == set(UNSEEN)


@pytest.mark.parametrize("shape", [(64, 48), (64, 48, 3)])
@pytest.mark.parametrize("name", DRAWN)
def test_types_of_drawn_strength_spoil_images_of_any_kind(
    name: str, shape: tuple[int, ...]
) -> None:
    clean = np.random.default_rng(0).random(shape, np.float32)
    first, again, other = (DRAWN[name](clean, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (first.shape, first.dtype) == (clean.shape, np.float32)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0
    assert 5 < psnr(first, clean) < 45
    if name == "banding":
        assert 4 <= len(np.unique(first)) <= 7


def test_mistakes_are_named_before_any_work(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="no unseen degradation or mixture rain; use one of jpeg 10"
    ):
        list_unseen([photo], domains=["rain"])
    io.imsave(tmp_path / "grey.png", data.camera()[:64, :64], check_contrast=False)
    with pytest.raises(DataError, match="not one RGB photograph"):
        list_unseen([tmp_path])
