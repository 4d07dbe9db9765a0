"""Scenes: degraded pictures of which every place is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_baryir.network.layers import CELL
from napari_baryir.training.calibrate.scenes import UNDECIDED, as_chosen, as_seen, make_scene


def clean(*shape: int) -> Any:
    """A seeded picture, smooth enough to be one."""
    coarse = np.random.default_rng(0).random((shape[0] // 8 + 1, shape[1] // 8 + 1, *shape[2:]))
    fine = coarse.repeat(8, axis=0).repeat(8, axis=1)[: shape[0], : shape[1]]
    return fine.astype(np.float32)


def scene(kind: Any = "alone", domains: Any = ("noise",), seed: int = 0, **options: Any) -> Any:
    rng = np.random.default_rng(seed)
    return make_scene(clean(99, 130, 3), domains, rng, profile="photo", kind=kind, **options)


def test_the_same_seed_makes_the_same_scene() -> None:
    np.testing.assert_array_equal(scene(seed=3).degraded, scene(seed=3).degraded)
    assert (scene(seed=3).degraded != scene(seed=4).degraded).any()


def test_scenes_are_whole_cells() -> None:
    assert scene().degraded.shape == scene().clean.shape == (96, 128, 3)
    assert scene().labels.shape == scene().errors().shape == (12, 16)


def test_halves_suffer_each_its_own_degradation() -> None:
    made = scene("side by side", ("clean", "noise"), level=1.0)
    errors = made.errors()
    assert not errors[:, :8].any()
    assert (errors[:, 8:] > 0.02).all()
    assert made.levels == (0.0, 1.0)


def test_cells_near_a_border_belong_to_none() -> None:
    made = scene("side by side", ("clean", "noise"))
    assert (made.labels[:, :5] == 0).all()
    assert (made.labels[:, 5:11] == UNDECIDED).all()
    assert (made.labels[:, 11:] == 1).all()


def test_a_disc_is_degraded_inside_only() -> None:
    made = scene("disc", ("clean", "noise"), level=1.0)
    assert 0 < made.second.sum() < made.second.size / 2
    np.testing.assert_array_equal(made.errors() > 0.01, made.second)


@pytest.mark.parametrize("see", [as_chosen, lambda s: as_seen(s, np.random.default_rng(2))])
def test_microscopy_is_seen_through_the_intensity_map_of_its_degraded_plane(see: Any) -> None:
    plane = clean(96, 96)
    rng = np.random.default_rng(1)
    made = make_scene(plane, ["background"], rng, profile="microscopy", level=1.0)
    seen = see(made)
    assert -0.2 < np.percentile(seen.degraded, 1) < np.percentile(seen.degraded, 99) < 1.2
    # One map for both: their difference is only scaled.
    ratio = (seen.degraded - seen.clean)[::CELL] / (made.degraded - made.clean)[::CELL]
    assert np.median(np.abs(ratio - np.median(ratio))) < 0.05 * np.median(ratio)
