"""Varied fields of view: clean, of the asked size, and more alike in nothing than they must be."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_baryir.training.data.variety import varied_field


def files() -> list[list[NDArray[np.generic]]]:
    """A stack of dark planes and a single bright one, all with fine waves."""
    y, x = np.mgrid[:90, :100]
    waves = (0.1 * np.sin(x / 3) * np.sin(y / 4)).astype(np.float32)
    return [[waves + np.float32(0.2)] * 9, [waves + np.float32(0.8)]]


@pytest.mark.parametrize("side", [32, 64, 200])
def test_fields_have_the_asked_size_and_are_about_the_unit_range(side: int) -> None:
    for seed in range(12):
        field = varied_field(files(), side, np.random.default_rng(seed))
        assert (field.shape, field.dtype) == ((side, side), np.float32)
        assert field.min() >= 0
        assert field.max() <= 1.2


def test_the_same_generator_gives_the_same_field() -> None:
    first, second = (varied_field(files(), 48, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_structures_come_finer_and_coarser_than_in_the_file() -> None:
    rows, columns = np.meshgrid(np.fft.fftfreq(80), np.fft.rfftfreq(80), indexing="ij")

    def fineness(field: NDArray[np.generic]) -> float:
        """Mean frequency, cycles per pixel."""
        spectrum = np.abs(np.fft.rfft2(field - field.mean())) ** 2
        return float((np.hypot(rows, columns) * spectrum).sum() / spectrum.sum())

    in_file = fineness(files()[0][0][:80, :80])
    found = [fineness(varied_field(files(), 80, np.random.default_rng(seed))) for seed in range(60)]
    assert max(found) > 1.25 * in_file
    assert min(found) < in_file / 1.25


def test_every_file_is_drawn_as_often_however_many_planes_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for share in ("RESCALED", "SUPERPOSED", "BENT"):
        monkeypatch.setattr(f"napari_baryir.training.data.variety.{share}", 0.0)
    means = [varied_field(files(), 32, np.random.default_rng(seed)).mean() for seed in range(200)]
    assert 0.4 < np.mean(np.array(means) > 0.4) < 0.6


def test_some_fields_are_as_smooth_as_from_a_finely_sampling_microscope(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for share in ("SUPERPOSED", "BENT", "GRAINY"):
        monkeypatch.setattr(f"napari_baryir.training.data.variety.{share}", 0.0)
    steps = []
    for seed in range(60):
        field = varied_field(files(), 80, np.random.default_rng(seed))
        steps.append(float(np.abs(np.diff(field, axis=0)).max() / np.ptp(field)))
    assert min(steps) < 0.5 * 0.125  # twice as smooth as the file's waves: 1 / (4 * 2) at most


@pytest.mark.parametrize("synthetic", [0.0, 1.0])
def test_fields_come_from_files_or_from_none(
    synthetic: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for share in ("RESCALED", "SUPERPOSED", "BENT", "GRAINY"):
        monkeypatch.setattr(f"napari_baryir.training.data.variety.{share}", 0.0)
    flat = [[np.full((90, 90), 0.5, np.float32)]]
    rngs = [np.random.default_rng(seed) for seed in range(8)]
    spread = [np.ptp(varied_field(flat, 64, rng, synthetic=synthetic)) for rng in rngs]
    assert (min(spread) > 0.3) if synthetic else (max(spread) < 1e-6)
