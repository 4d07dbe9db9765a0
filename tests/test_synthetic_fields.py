"""Fields from random processes: reproducible, in range, of many looks, soft ones among them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_baryir.training.data import synthetic_fields
from napari_baryir.training.data.synthetic_fields import synthetic_field


@pytest.mark.parametrize("side", [16, 96, 180])
def test_fields_have_the_asked_size_and_reach_over_the_unit_range(side: int) -> None:
    for seed in range(10):
        field = synthetic_field(side, np.random.default_rng(seed))
        assert (field.shape, field.dtype) == ((side, side), np.float32)
        assert np.isfinite(field).all()
        assert field.min() == 0
        assert 0.8 < field.max() <= 1.25


def test_the_same_generator_gives_the_same_field() -> None:
    first, second, other = (synthetic_field(64, np.random.default_rng(s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", synthetic_fields._KINDS)
def test_every_structure_fills_some_of_the_field(kind: synthetic_fields.Structure) -> None:
    for seed in range(5):
        layer = kind(128, np.random.default_rng(seed))
        assert layer.shape == (128, 128)
        assert layer.min() >= 0
        assert layer.std() > 0


def test_some_fields_are_soft_and_some_are_sharp() -> None:
    steps = []
    for seed in range(40):
        field = synthetic_field(96, np.random.default_rng(seed))
        steps.append(float(np.quantile(np.abs(np.diff(field, axis=0)), 0.999)))
    assert min(steps) < 0.15
    assert max(steps) > 0.4


def test_light_from_out_of_focus_fills_dark_places(monkeypatch: pytest.MonkeyPatch) -> None:
    def median(layered: float) -> float:
        monkeypatch.setattr(synthetic_fields, "LAYERED", layered)
        monkeypatch.setattr(synthetic_fields, "_KINDS", (synthetic_fields._bodies,))
        monkeypatch.setattr(synthetic_fields, "MOST_KINDS", 1)
        fields = [synthetic_field(96, np.random.default_rng(seed)) for seed in range(20)]
        return float(np.mean([np.median(field) for field in fields]))

    assert median(1.0) > 2 * median(0.0)
