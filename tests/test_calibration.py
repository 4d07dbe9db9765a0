"""How residuals become probabilities and severity, and how that is fitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_baryir.degradation.calibration import Calibration, SeverityCurve, pool, severity_of
from napari_baryir.training.calibrate.discriminants import Cells, Fitted, fit

DOMAINS = ("noise", "haze", "clean")
DIMENSIONS = 12


def cells(count: int, seed: int) -> Cells:
    """Noise lies along axis 0, haze along axis 1, clean at 0; axes 2 and 3 vary much, with all.

    Noise and haze lie the farther out the higher their level; the error is a tenth of it.
    """
    rng = np.random.default_rng(seed)
    domains = rng.integers(3, size=count)
    levels = np.where(domains == 2, 0.0, rng.random(count))
    points = 0.1 * rng.standard_normal((count, DIMENSIONS))
    points[:, 2:4] += 5 * rng.standard_normal((count, 2))
    for axis in (0, 1):
        points[domains == axis, axis] += 1 + levels[domains == axis]
    points += 3  # the residuals of all domains have a common part
    return Cells(points.astype(np.float32), domains, levels, 0.1 * levels)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    """Fitted to cells like those that the tests judge."""
    return fit(cells(1500, 0), cells(500, 1), DOMAINS, 5, "made up")


def judged(fitted: Fitted, points: Any) -> tuple[Any, Any]:
    """Probabilities (K, N) and severity (N,)."""
    projected = (points @ fitted.subspace.T).astype(np.float32)[:, None]
    probabilities, severity = fitted.calibration.judge_pooled(projected)
    return probabilities[..., 0], severity[:, 0]


def test_fitted_prototypes_tell_the_domains_of_other_cells_apart(fitted: Fitted) -> None:
    seen = cells(1000, 2)
    probabilities, _ = judged(fitted, seen.points)
    named = probabilities.argmax(axis=0)
    assert np.mean(named == seen.domains) > 0.93  # nearness in the full space: about 0.5
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-6)


def test_probabilities_mean_what_they_say(fitted: Fitted) -> None:
    seen = cells(4000, 3)
    probabilities, _ = judged(fitted, seen.points)
    for k in range(3):
        assert probabilities[k].mean() == pytest.approx(np.mean(seen.domains == k), abs=0.03)


def test_cells_like_no_domain_are_unknown_and_few_others_are(fitted: Fitted) -> None:
    seen = cells(1000, 4)
    probabilities, _ = judged(fitted, seen.points)
    assert np.mean(probabilities.argmax(axis=0) == 3) < 0.05
    strange = seen.points + 6 * (np.arange(DIMENSIONS) < 2)
    probabilities, _ = judged(fitted, strange)
    assert np.mean(probabilities.argmax(axis=0) == 3) > 0.95


def test_severity_rises_with_the_level_and_means_the_error(fitted: Fitted) -> None:
    seen = cells(3000, 5)
    _, severity = judged(fitted, seen.points)
    for k in (0, 1):
        own = seen.domains == k
        assert np.corrcoef(severity[own], seen.levels[own])[0, 1] > 0.9
        error = 0.1 * severity[own] / (1 - severity[own])
        assert error.mean() == pytest.approx(seen.errors[own].mean(), rel=0.1)
    assert severity[seen.domains == 2].mean() < 0.05


def test_severity_curves_never_fall_nor_stand_still(fitted: Fitted) -> None:
    for curve in fitted.calibration.severity:
        assert (np.diff(curve.inputs) > 0).all()
        assert (np.diff(curve.errors) > 0).all()


@pytest.mark.parametrize("part", [0, 1])
def test_severity_is_fitted_to_the_known_and_to_the_held_out_cells(part: int) -> None:
    both = [cells(300, 0), cells(100, 1)]
    before = fit(both[0], both[1], DOMAINS, 5, "").calibration
    both[part] = replace(both[part], errors=2 * both[part].errors)
    after = fit(both[0], both[1], DOMAINS, 5, "").calibration
    for old, new in zip(before.severity, after.severity, strict=True):
        assert sum(new.errors) > 1.1 * sum(old.errors)
    assert after.model_copy(update={"severity": before.severity}) == before


def test_curves_rise_strictly_where_many_cells_are_alike() -> None:
    known, held_out = cells(300, 0), cells(100, 1)
    for part in (known, held_out):
        noisy = np.flatnonzero(part.domains == 0)
        part.points[noisy] = known.points[noisy[0]]  # all at one place but a few
        part.points[noisy[:4], 0] += 1
    curve = fit(known, held_out, DOMAINS, 5, "").calibration.severity[0]
    assert (np.diff(curve.inputs) > 0).all()
    assert (np.diff(curve.errors) >= 0).all()


def test_a_fit_travels_as_plain_json(fitted: Fitted) -> None:
    text = fitted.calibration.model_dump_json()
    assert Calibration.model_validate_json(text) == fitted.calibration


def test_half_severity_is_an_error_of_a_tenth_of_the_range() -> None:
    assert severity_of(np.array(0.1, np.float32)) == pytest.approx(0.5)


def test_curves_are_followed_between_their_knots() -> None:
    curve = SeverityCurve(direction=(1, 0), inputs=(0, 2), errors=(0, 0.2))
    points = np.array([[-1, 9], [0.5, 9], [5, 9]], np.float32)
    np.testing.assert_allclose(curve.expected_error(points), [0, 0.05, 0.2], atol=1e-6)


def test_pooling_is_the_mean_over_a_window_cut_off_at_the_edges() -> None:
    cells = np.random.default_rng(0).random((6, 9, 2), np.float32)
    pooled = pool(cells, 5)
    np.testing.assert_allclose(pooled[3, 4], cells[1:6, 2:7].mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(pooled[0, 0], cells[:3, :3].mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_array_equal(pool(cells, 1), cells)
