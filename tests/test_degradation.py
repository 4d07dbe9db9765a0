"""Estimates of images: maps, summaries, contributions."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import torch

import napari_baryir.restoration.lazy
from calibrated_networks import calibrated_network
from fake_networks import random_gated_network
from local_networks import LocalNetwork
from napari_baryir import estimate_degradation, iter_estimate
from napari_baryir.degradation.estimator import EstimateEngine
from napari_baryir.errors import InputError, WeightsError
from napari_baryir.network import BaryIR
from napari_baryir.steps import finish


@pytest.fixture(autouse=True)
def no_networks_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake networks have no weights that distinguish them."""
    monkeypatch.setattr(napari_baryir.restoration.lazy, "_engines", {})


def picture(*shape: int, seed: int = 0) -> Any:
    """Seeded random values in [0, 1]."""
    return np.random.default_rng(seed).random(shape, np.float32)


def square(height: int = 70, width: int = 90) -> Any:
    """Dark, with cells (2, 4) to (5, 7) bright."""
    image = np.zeros((height, width), np.float32)
    image[16:48, 32:64] = 1
    return image


def test_probabilities_add_up_to_one_and_severity_is_in_the_unit_range() -> None:
    estimate = estimate_degradation(picture(50, 70, 3), model=calibrated_network())
    assert estimate.domains == ("noise", "haze", "clean", "unknown")
    assert estimate.probabilities.shape == (4, 7, 9)
    assert estimate.severity.shape == (7, 9)
    assert estimate.probabilities.dtype == estimate.severity.dtype == np.float32
    np.testing.assert_allclose(estimate.probabilities.sum(axis=0), 1, atol=1e-6)
    assert 0 <= estimate.severity.min() < estimate.severity.max() < 1


def test_summaries_are_shares_of_each_plane_the_largest_first() -> None:
    image = picture(2, 3, 40, 40)
    estimate = estimate_degradation(image, axes="TCYX", model=calibrated_network())
    assert len(estimate.summary) == len(estimate.severities) == 6
    for number, shares in enumerate(estimate.summary):
        plane = estimate.probabilities[np.unravel_index(number, (2, 3))]
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
        assert sum(shares.values()) == pytest.approx(1)
        for name, share in shares.items():
            expected = plane[estimate.domains.index(name)].mean()
            assert share == pytest.approx(float(expected), abs=1e-5)
        severity = estimate.severity[np.unravel_index(number, (2, 3))]
        assert estimate.severities[number] == pytest.approx(float(severity.mean()), abs=1e-5)


def test_dims_of_xarray_are_axes_as_for_restoring() -> None:
    labelled = SimpleNamespace(data=picture(32, 3, 40), dims=("y", "bands", "x"))
    estimate = estimate_degradation(labelled, model=LocalNetwork())
    assert (estimate.image_axes, estimate.axes_guessed) == ("YCX", False)
    with pytest.raises(InputError, match="dimension 'lat'"):
        estimate_degradation(SimpleNamespace(data=picture(9, 9), dims=("lat", "x")))


def test_leading_axes_are_those_of_the_image_in_its_order() -> None:
    image = np.zeros((32, 2, 40, 3), np.float32)  # Y T X Z
    image[:, 1, :, 2] = picture(32, 40)
    estimate = estimate_degradation(
        image, axes="YTXZ", model=LocalNetwork(), intensity=(0, 1), contributions=True
    )
    assert estimate.axes == "TZYX"
    assert estimate.severity.shape == (2, 3, 4, 5)
    alone = estimate_degradation(image[:, 1, :, 2], model=LocalNetwork(), intensity=(0, 1))
    np.testing.assert_allclose(estimate.severity[1, 2], alone.severity, atol=1e-6)
    assert estimate.contributions is not None
    assert estimate.contributions.total.shape == image.shape


def test_a_cell_covers_its_own_eight_pixels() -> None:
    estimate = estimate_degradation(square(), model=LocalNetwork(), intensity=(0, 1))
    expected = np.zeros((9, 12), bool)
    expected[2:6, 4:8] = True
    np.testing.assert_array_equal(estimate.probabilities[0] > 0.5, expected)
    np.testing.assert_array_equal(estimate.severity > 0.5, expected)
    assert estimate.cell == 8


@pytest.mark.parametrize("tile", [32, 48])
@pytest.mark.parametrize("window", [1, 5])
def test_tiled_and_untiled_agree_where_the_network_is_local(tile: int, window: int) -> None:
    image = picture(101, 131, 3)
    model = LocalNetwork(window)
    whole = estimate_degradation(image, model=model, tile="whole", contributions=True)
    assert model.encoded == [(104, 136)]
    tiled = estimate_degradation(image, model=model, tile=tile, contributions=True)
    assert len(model.encoded) > 5
    np.testing.assert_allclose(tiled.probabilities, whole.probabilities, atol=1e-5)
    np.testing.assert_allclose(tiled.severity, whole.severity, atol=1e-5)
    assert tiled.contributions is not None
    assert whole.contributions is not None
    np.testing.assert_allclose(tiled.contributions.total, whole.contributions.total, atol=1e-5)


def test_tiled_and_untiled_agree_with_a_real_network() -> None:
    image = picture(200, 260, 3)
    model = calibrated_network()
    model.calibration["window"] = 5
    whole = estimate_degradation(image, model=model, tile="whole")
    tiled = estimate_degradation(image, model=model, tile=128)
    assert np.abs(tiled.severity - whole.severity).max() < 0.03
    assert np.abs(tiled.probabilities - whole.probabilities).mean() < 0.01
    assert whole.severity.std() > 0.01  # there is something to agree on


def test_shapley_parts_sum_to_the_whole() -> None:
    image = picture(40, 56, 3)
    found = estimate_degradation(image, model=LocalNetwork(), contributions=True).contributions
    assert found is not None
    np.testing.assert_allclose(
        found.shapley_barycenter + found.shapley_residual, found.total, atol=1e-6
    )
    # LocalNetwork: R_11 = x + x^2 + x^3, R_10 = x, R_01 = x^2, R_00 = 0.
    np.testing.assert_allclose(found.total, image + image**2 + image**3, atol=1e-5)
    np.testing.assert_allclose(found.barycenter, image + image**3, atol=1e-5)
    np.testing.assert_allclose(found.residual, image**2 + image**3, atol=1e-5)
    np.testing.assert_allclose(found.shapley_barycenter, image + image**3 / 2, atol=1e-5)
    np.testing.assert_allclose(found.shapley_residual, image**2 + image**3 / 2, atol=1e-5)


def test_contributions_are_in_the_units_of_the_image_and_leave_alpha_out() -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 4), np.uint8)
    estimate = estimate_degradation(image, axes="YXS", model=LocalNetwork(), contributions=True)
    assert estimate.contributions is not None
    total = estimate.contributions.total
    x = image[..., :3] / 255
    np.testing.assert_allclose(total[..., :3], 255 * (x + x**2 + x**3), rtol=1e-4)
    assert total.shape == image.shape
    assert total.dtype == np.float32
    assert not total[..., 3].any()


def test_the_decoder_runs_for_contributions_only_and_the_encoder_once() -> None:
    model = LocalNetwork()
    estimate_degradation(picture(64, 64, 3), model=model)
    assert (len(model.encoded), model.decoded) == (1, 0)
    estimate_degradation(picture(64, 64, 3), model=model, contributions=True)
    assert (len(model.encoded), model.decoded) == (2, 4)


def test_a_plane_of_one_value_is_unknown_with_severity_zero() -> None:
    image = np.stack([np.full((32, 32), 0.7, np.float32), picture(32, 32)])
    model = LocalNetwork()
    estimate = estimate_degradation(image, axes="TYX", model=model, intensity=(0, 1))
    assert estimate.summary[0]["unknown"] == 1
    assert estimate.severities[0] == 0
    assert estimate.severities[1] > 0
    assert len(model.encoded) == 1


def test_progress_comes_after_every_tile_and_begins_with_the_plane_asked_for() -> None:
    steps = iter_estimate(
        picture(3, 64, 96), axes="TYX", model=LocalNetwork(), tile=48, overlap=0, first_plane=2
    )
    seen = list(steps)
    assert [p.done for p in seen] == list(range(len(seen)))
    assert seen[-1].done == seen[-1].total == 3 * 4
    assert seen[1].plane == 2
    finished = [p.plane_index for p in seen if p.plane_index is not None]
    assert [index[0] for index in finished] == [2, 1, 0]


def test_closing_stops_the_work() -> None:
    model = LocalNetwork()
    steps = iter_estimate(picture(96, 96), model=model, tile=48)
    next(steps)
    next(steps)
    steps.close()
    assert len(model.encoded) == 1


def test_running_out_of_memory_halves_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(128, 128, 3)
    whole = estimate_degradation(image, model=LocalNetwork(), tile="whole", contributions=True)
    run = EstimateEngine._run

    def short_of_memory(engine: EstimateEngine, tile: Any) -> Any:
        if max(tile.shape[:2]) > 64:
            raise torch.OutOfMemoryError("injected")
        return run(engine, tile)

    monkeypatch.setattr(EstimateEngine, "_run", short_of_memory)
    parts = estimate_degradation(image, model=LocalNetwork(), tile="whole", contributions=True)
    assert parts.tile == 64
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-5)
    assert parts.contributions is not None
    assert whole.contributions is not None
    np.testing.assert_allclose(parts.contributions.total, whole.contributions.total, atol=1e-5)


@pytest.mark.parametrize("axes", ["CTYX", "YXC", "YX"])
def test_lazy_is_what_eager_is(axes: str) -> None:
    shape = tuple({"C": 2, "T": 2, "Y": 43, "X": 60}[a] for a in axes)
    image = picture(*shape)
    options: dict[str, Any] = {
        "axes": axes, "model": LocalNetwork(5), "tile": 40, "intensity": (0, 1),
        "contributions": True,
    }  # fmt: skip
    eager = estimate_degradation(image, **options)
    chunks = tuple({"C": 1, "T": 2, "Y": 30, "X": 35}[a] for a in axes)
    lazy = estimate_degradation(da.from_array(image, chunks=chunks), **options)
    assert isinstance(lazy.severity, da.Array)
    assert lazy.severity.shape == eager.severity.shape
    assert lazy.probabilities.shape == eager.probabilities.shape
    np.testing.assert_allclose(lazy.severity.compute(), eager.severity, atol=2e-6)
    np.testing.assert_allclose(lazy.probabilities.compute(), eager.probabilities, atol=2e-6)
    assert lazy.summary[-1] == pytest.approx(eager.summary[-1], abs=1e-5)
    assert list(lazy.severities) == pytest.approx(list(eager.severities), abs=1e-5)
    assert lazy.contributions is not None
    assert eager.contributions is not None
    names = [part.name for part in fields(eager.contributions)]
    parts = dask.compute(*(getattr(lazy.contributions, name) for name in names))
    for name, values in zip(names, parts, strict=True):
        np.testing.assert_allclose(values, getattr(eager.contributions, name), atol=1e-5)


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    model = LocalNetwork()
    image = da.from_array(picture(4, 32, 32), chunks=(1, 32, 32))
    estimate = estimate_degradation(image, axes="TYX", model=model, intensity=(0, 1))
    assert model.encoded == []
    assert len(estimate.summary) == 4
    assert sum(estimate.summary[2].values()) == pytest.approx(1)
    assert len(model.encoded) == 1
    assert estimate.summary[2] is estimate.summary[2]
    assert len(model.encoded) == 1
    with pytest.raises(IndexError, match="no plane 4"):
        estimate.summary[4]


@pytest.mark.parametrize("shape", [(5, 9), (8, 200), (30, 17)])
def test_images_smaller_than_a_window_are_estimated_lazily_too(shape: tuple[int, int]) -> None:
    image = picture(*shape)
    options: dict[str, Any] = {"model": LocalNetwork(5), "tile": 32, "intensity": (0, 1)}
    eager = estimate_degradation(image, **options)
    lazy = estimate_degradation(da.from_array(image), **options)
    np.testing.assert_allclose(lazy.severity.compute(), eager.severity, atol=2e-6)


def test_lazy_images_can_be_estimated_at_once() -> None:
    image = picture(2, 64, 64)
    options: dict[str, Any] = {"axes": "TYX", "model": LocalNetwork(), "intensity": (0, 1)}
    steps = iter_estimate(da.from_array(image), at_once=True, **options)
    assert next(steps).total == 2
    found = finish(steps)
    assert isinstance(found.severity, np.ndarray)
    np.testing.assert_array_equal(found.severity, estimate_degradation(image, **options).severity)


def test_weights_without_calibration_say_how_to_calibrate() -> None:
    with pytest.raises(WeightsError, match="napari-baryir calibrate"):
        estimate_degradation(picture(32, 32, 3), model=random_gated_network())


def curves(**change: Any) -> dict[str, Any]:
    """A calibration's severity with something else in both curves."""
    curve = {"direction": (1.0, 0.0), "inputs": (0.0, 1.0), "errors": (0.0, 0.5)} | change
    return {"severity": [curve, curve]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"prototypes": [[0.0, 0.0]]}, "one prototype per domain"),
        ({"domains": ["noise", "clean", "haze"]}, "end with 'clean'"),
        ({"surprise": 1}, "surprise"),
        ({"window": 4}, "must be odd"),
        (curves(inputs=(0, 1, 2)), "one error per input"),
        (curves(inputs=(1, 1)), "inputs must rise"),
        (curves(inputs=(2, 1)), "inputs must rise"),
        (curves(errors=(0.2, 0.1)), "errors must not fall"),
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(change: dict[str, Any], reason: str) -> None:
    model: BaryIR = calibrated_network()
    model.calibration = {**model.calibration, **change}
    with pytest.raises(WeightsError, match=reason):
        estimate_degradation(picture(32, 32, 3), model=model)


def test_a_subspace_of_another_network_is_refused() -> None:
    model = calibrated_network()
    assert model.subspace is not None
    model.subspace = model.subspace[:, :-1]
    with pytest.raises(WeightsError, match="residuals have"):
        estimate_degradation(picture(32, 32, 3), model=model)


def test_mistakes_are_named_before_any_work() -> None:
    with pytest.raises(InputError, match="tile"):
        iter_estimate(picture(32, 32), model=LocalNetwork(), tile=3)
    with pytest.raises(InputError, match="no plane 7"):
        iter_estimate(picture(2, 32, 32), axes="TYX", model=LocalNetwork(), first_plane=7)


def test_the_record_repeats_the_run() -> None:
    image = picture(40, 40, 3)
    model = calibrated_network()
    estimate = estimate_degradation(image, model=model, tile=32)
    again = estimate_degradation(image, **{**estimate.settings, "model": model})
    np.testing.assert_array_equal(again.severity, estimate.severity)
    assert estimate.record["domains"] == list(estimate.domains)
