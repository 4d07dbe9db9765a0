"""Runs as plain generators, without Qt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_baryir import restore
from napari_baryir.errors import InputError
from napari_baryir.files import read_image
from napari_baryir.steps import Steps
from napari_baryir.widgets.dock.steps import Failed, Step
from napari_baryir.widgets.restore.job import Done, RestoreJob, Settings, restore_steps
from napari_baryir.widgets.viewer.regions import Box

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 4000, (3, 40, 48), np.uint16)


def whole(image: Any) -> Box:
    return Box(tuple(slice(0, n) for n in image.shape), whole=True)


@pytest.fixture
def settings(tiny_weights: Path) -> Settings:
    return Settings(model=str(tiny_weights), device="cpu", tile=32, overlap=8)


def run(job: RestoreJob) -> tuple[list[Step], Any]:
    steps = Steps(restore_steps(job))
    return list(steps), steps.result


def expected(image: Any, settings: Settings, axes: str) -> Any:
    return restore(image, axes=axes, **vars(settings)).image


def test_plane_in_view_comes_first_and_values_are_the_library_s(settings: Settings) -> None:
    job = RestoreJob(STACK, "ZYX", whole(STACK), settings, first=(2,))
    steps, outcome = run(job)
    assert isinstance(outcome, Done)
    assert steps[0].progress.done == 0
    finished = [s.progress.plane for s in steps if s.progress.plane_index is not None]
    assert finished == [2, 1, 0]
    np.testing.assert_array_equal(outcome.data, expected(STACK, settings, "ZYX"))


def test_box_is_restored_alone(settings: Settings) -> None:
    slices = (slice(1, 2), slice(4, 36), slice(8, 40))
    _, outcome = run(RestoreJob(STACK, "ZYX", Box(slices, whole=False), settings))
    np.testing.assert_array_equal(outcome.data, expected(STACK[slices], settings, "ZYX"))


def test_multiscale_comes_back_multiscale(settings: Settings) -> None:
    coarser = (STACK[:, ::2, ::2], STACK[:, ::4, ::4])
    _, outcome = run(RestoreJob(STACK, "ZYX", whole(STACK), settings, coarser))
    assert [level.shape for level in outcome.data] == [STACK.shape, *(c.shape for c in coarser)]
    assert all(level.dtype == STACK.dtype for level in outcome.data)
    np.testing.assert_array_equal(outcome.data[0], expected(STACK, settings, "ZYX"))
    means = outcome.data[0].reshape(3, 20, 2, 24, 2).mean((2, 4))
    np.testing.assert_allclose(outcome.data[1], means, atol=0.5)


def test_lazy_comes_back_lazy_and_nothing_is_computed(settings: Settings) -> None:
    reads: list[int] = []

    def block(values: np.ndarray) -> np.ndarray:
        reads.append(values.size)
        return values

    lazy = da.from_array(STACK, chunks=(1, 20, 48)).map_blocks(block, dtype=STACK.dtype, meta=STACK)
    fixed = Settings(**{**vars(settings), "intensity": (0.0, 4000.0)})
    steps, outcome = run(RestoreJob(lazy, "ZYX", whole(lazy), fixed))
    assert steps == []
    assert reads == []
    assert isinstance(outcome.data, da.Array)
    np.testing.assert_allclose(
        outcome.data.compute(scheduler="sync").astype(int),
        expected(STACK, fixed, "ZYX").astype(int),
        atol=1,
    )


def test_lazy_multiscale_stays_lazy_at_every_level(settings: Settings) -> None:
    levels = [da.from_array(STACK, chunks=(1, 20, 24)), da.from_array(STACK[:, ::2, ::2])]
    _, outcome = run(RestoreJob(levels[0], "ZYX", whole(STACK), settings, (levels[1],)))
    assert [type(level) for level in outcome.data] == [da.Array, da.Array]
    assert [level.shape for level in outcome.data] == [level.shape for level in levels]


def test_lazy_at_once_into_memory(settings: Settings) -> None:
    lazy = da.from_array(STACK, chunks=(1, 20, 48))
    _, outcome = run(RestoreJob(lazy, "ZYX", whole(lazy), settings, lazy="memory"))
    assert isinstance(outcome.data, np.ndarray)
    np.testing.assert_array_equal(outcome.data, expected(STACK, settings, "ZYX"))


@pytest.mark.parametrize("axes", ["ZYX", "YXS"])
def test_lazy_streams_into_ome_zarr(settings: Settings, tmp_path: Path, axes: str) -> None:
    image = STACK if axes == "ZYX" else RNG.integers(0, 255, (40, 48, 3), np.uint8)
    lazy, target = da.from_array(image), tmp_path / "restored.ome.zarr"
    job = RestoreJob(
        lazy, axes, whole(lazy), settings, lazy="zarr", target=target,
        scale={"Y": 0.5, "X": 0.5}, units={"Y": "micrometer", "X": "micrometer"},
    )  # fmt: skip
    _, outcome = run(job)
    assert isinstance(outcome, Done), outcome.error
    assert isinstance(outcome.data, da.Array)
    np.testing.assert_array_equal(
        outcome.data.compute(scheduler="sync"), expected(image, settings, axes)
    )
    with read_image(target) as written:
        assert written.scale["X"] == 0.5
        assert written.units["X"] == "micrometer"


def test_closing_stops_and_leaves_no_file(settings: Settings, tmp_path: Path) -> None:
    target = tmp_path / "restored.ome.zarr"
    lazy = da.from_array(STACK)
    job = RestoreJob(lazy, "ZYX", whole(STACK), settings, lazy="zarr", target=target)
    steps = restore_steps(job)
    next(steps)
    next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


def test_errors_are_returned(settings: Settings) -> None:
    _, outcome = run(RestoreJob(STACK, "TZCYX", whole(STACK), settings))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, InputError)
