"""Restoring whole images."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fake_networks import Brighter, Identity, Inverse, OutOfMemory, random_gated_network
from napari_baryir.errors import InputError, ModelUnavailableError
from napari_baryir.network import BaryIR
from napari_baryir.restoration import Progress, Restoration, iter_restore, restore
from napari_baryir.steps import Steps
from napari_baryir.weights.files import save_weights, weights_hash

CODES = ("u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
DTYPES = [f"{order}{code}" for order in "<>" for code in CODES]


@st.composite
def images(draw: st.DrawFn) -> tuple[Any, str]:
    """Any axes, order, dtype (NaN and inf too) and memory layout; some small sides."""
    letters = draw(st.sets(st.sampled_from("TZCS"), max_size=3)) | {"Y", "X"}
    axes = "".join(draw(st.permutations(sorted(letters))))
    shape = tuple(draw(st.integers(1, 45 if a in "YX" else 3)) for a in axes)
    dtype = np.dtype(draw(st.sampled_from(["u1", "i1", *DTYPES])))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    if dtype.kind == "f":
        image = rng.normal(0, 100, shape).astype(dtype)
        image[rng.random(shape) < 0.02] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
        image[(0,) * image.ndim] = 1  # without any finite value it would be refused
    else:
        info = np.iinfo(dtype)
        image = rng.integers(info.min, info.max, shape, dtype.newbyteorder("="), endpoint=True)
        image = image.astype(dtype)
    if draw(st.booleans()):
        image = image[(slice(None, None, -1),) * image.ndim]
    image.flags.writeable = False
    return image, axes


def run(steps: Generator[Progress, None, Restoration]) -> tuple[list[Progress], Restoration]:
    """All that a generator yields, and what it returns."""
    run = Steps(steps)
    return list(run), run.result


def picture(height: int, width: int, dtype: Any = np.float32) -> Any:
    """A smooth seeded RGB picture with some noise; floats in [0, 1]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / 20
    clean = np.stack([np.sin(y + x), np.cos(y - x), np.sin(2 * x)], -1) / 4 + 0.5
    noisy = np.clip(clean + rng.normal(0, 0.05, clean.shape), 0, 1)
    return noisy.astype(dtype) if np.dtype(dtype).kind == "f" else (noisy * 255).astype(dtype)


@given(images(), st.sampled_from([16, 24, 40, "auto", "whole"]), st.sampled_from([0, 8, "auto"]))
def test_identity_returns_its_input_under_any_tiling(
    image_and_axes: tuple[Any, str], tile: Any, overlap: Any
) -> None:
    image, axes = image_and_axes
    result = restore(image, axes=axes, model=Identity(), tile=tile, overlap=overlap)
    assert result.image.dtype == image.dtype
    assert result.image.shape == image.shape
    np.testing.assert_array_equal(result.image, image)
    colours = image if axes.count("S") == 0 else None
    if colours is not None:
        assert result.non_finite == np.count_nonzero(~np.isfinite(image))


@given(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=60), st.sampled_from([16, 32]))
def test_a_pixelwise_network_gives_the_same_under_any_tiling(
    shape: tuple[int, int], tile: int
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image[0, 0] = 0, 128, 255
    tiled = restore(image, axes="YXS", model=Inverse(), tile=tile).image
    whole = restore(image, axes="YXS", model=Inverse(), tile="whole").image
    np.testing.assert_array_equal(tiled, whole)
    if image.size > 3:
        np.testing.assert_array_equal(whole, 255 - image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3), (7, 200), (8, 8), (65, 17)])
def test_every_size_from_one_pixel_comes_back(shape: tuple[int, int], tiny_model: BaryIR) -> None:
    image = np.random.default_rng(0).integers(0, 60000, shape, dtype=np.uint16)
    assert restore(image, model=tiny_model, tile=32).image.shape == shape


def test_tiled_and_whole_agree_and_show_no_seam() -> None:
    # The context of the gated blocks reaches further than the overlap, but with little weight.
    image, model = picture(200, 312), random_gated_network()
    whole = restore(image, model=model, tile="whole").image
    tiled = restore(image, model=model, tile=128).image
    changed = np.abs(whole - image).max()
    assert changed > 0.1
    difference = np.abs(tiled - whole)
    assert difference.max() < 0.01 * changed
    # A seam would show as a step of the difference from one pixel to the next.
    assert np.abs(np.diff(tiled - whole, axis=1)).max() < 0.002 * changed
    assert np.abs(np.diff(tiled - whole, axis=0)).max() < 0.002 * changed


def test_strength_blends_with_the_input() -> None:
    image, model = picture(40, 40), random_gated_network()
    full = restore(image, model=model).image
    half = restore(image, model=model, strength=0.5).image
    np.testing.assert_allclose(half, (image + full) / 2, atol=1e-6)
    np.testing.assert_array_equal(restore(image, model=model, strength=0).image, image)


def test_alpha_is_kept_and_does_not_matter() -> None:
    rgb = picture(30, 40, np.uint8)
    alpha = np.random.default_rng(0).integers(0, 256, (30, 40, 1), dtype=np.uint8)
    result = restore(np.concatenate([rgb, alpha], -1), model=Inverse())
    assert result.axes == "YXS"
    assert result.axes_guessed
    np.testing.assert_array_equal(result.image[..., 3:], alpha)
    np.testing.assert_array_equal(result.image[..., :3], 255 - rgb)


def test_channels_are_mapped_and_restored_each_by_itself() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((2, 24, 24)) * np.array([1, 1000]).reshape(2, 1, 1)
    both = restore(image, axes="CYX", model=Brighter())
    assert len(both.intensity) == 2
    for channel, chosen in enumerate(both.intensity):
        alone = restore(image[channel], axes="YX", model=Brighter())
        np.testing.assert_allclose(both.image[channel], alone.image)
        change = both.image[channel] - image[channel]
        np.testing.assert_allclose(change, 0.1 * chosen.span, rtol=1e-5)


def test_planes_of_a_stack_share_one_map_so_that_equal_planes_stay_equal() -> None:
    plane = np.random.default_rng(0).integers(100, 200, (24, 24), dtype=np.uint16)
    stack = np.stack([plane, plane * 50, plane])
    result = restore(stack, axes="TYX", model=random_gated_network())
    assert len(result.intensity) == 1
    assert result.intensity[0].high > 5000
    np.testing.assert_array_equal(result.image[0], result.image[2])


def test_constant_planes_come_back_unchanged() -> None:
    stack = np.random.default_rng(0).random((3, 40, 40))
    stack[1] = 0.7
    stack[1, 5, 5] = np.nan
    result = restore(stack, axes="ZYX", model=Brighter(), tile=16).image
    np.testing.assert_array_equal(result[1], stack[1])
    assert (result[0] > stack[0]).all()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_change_is_the_distance_to_the_input_of_the_plane_that_changed_most(dtype: str) -> None:
    stack = np.random.default_rng(0).random((3, 40, 40)) * 200
    stack[1] = 0  # a flat plane stays
    image = stack.astype(dtype)
    result = restore(image, axes="ZYX", model=Brighter(), tile=16, intensity=(0, 200))
    gaps = (result.image.astype(float) - image) / 200
    assert result.change == pytest.approx(np.sqrt(np.square(gaps).mean((1, 2))).max(), rel=1e-5)
    assert result.record["change"] == result.change
    assert not result.practically_unchanged
    part = restore(image, axes="ZYX", model=Brighter(), intensity=(0, 200), strength=0.02)
    assert part.change == pytest.approx(0.002 if dtype == "f4" else 0, rel=1e-3)  # 0.4 rounds to 0
    assert part.practically_unchanged
    if dtype == "f4":
        image[0, 0, 0] = np.nan
        holed = restore(image, axes="ZYX", model=Brighter(), intensity=(0, 200))
        assert holed.change == pytest.approx(0.1, rel=1e-3)


def test_an_empty_tile_changes_with_its_plane() -> None:
    image = np.full((64, 64), 0.5, np.float32)
    image[40:, 40:] = picture(24, 24)[..., 0]
    result = restore(image, model=Brighter(), tile=16, overlap=0, intensity=(0, 1)).image
    assert (result > image).all()


def test_invalid_pixels_are_restored_around_and_put_back() -> None:
    image = picture(48, 48)
    holes = image.copy()
    holes[10, 10] = np.nan
    holes[20, 20, 1] = -np.inf
    model = random_gated_network()
    result = restore(holes, model=model, intensity=(0, 1))
    assert result.non_finite == 4
    valid = np.isfinite(holes)
    np.testing.assert_array_equal(result.image[~valid], holes[~valid])
    assert np.isfinite(result.image[valid]).all()
    whole = restore(image, model=model, intensity=(0, 1))
    assert whole.non_finite == 0
    assert np.abs(result.image - whole.image)[30:, 30:].max() < 0.02


def test_an_image_without_finite_values_is_refused() -> None:
    image = np.full((2, 20, 20), np.nan, np.float32)
    image[1] = np.inf
    with pytest.raises(InputError, match="no finite values: all 800 are NaN or infinite"):
        restore(image, axes="ZYX", model=Identity())
    image[1, 3, 3] = 1
    assert restore(image, axes="ZYX", model=Identity()).non_finite == 799


def test_hot_pixels_go_and_bright_objects_stay() -> None:
    image = np.random.default_rng(0).normal(500, 20, (200, 200)).astype(np.uint16)
    image[10, 10] = image[30:32, 40] = 60000
    bead = np.s_[50:54, 50:54]
    image[bead] = 40000
    mended = restore(image, axes="YX", model=Identity()).image
    assert mended[10, 10] < 700
    assert mended[30:32, 40].max() < 60000
    np.testing.assert_array_equal(mended[bead], image[bead])
    half = restore(image, axes="YX", model=Identity(), strength=0.5).image
    assert half[10, 10] == pytest.approx(30250, abs=200)


def test_a_single_stray_value_does_not_spoil_the_rest(tiny_model: BaryIR) -> None:
    image = np.random.default_rng(0).random((32, 32), np.float32)
    image[3, 3] = 1e37
    assert np.isfinite(restore(image, model=tiny_model).image).all()


def test_out_of_memory_is_survived_and_recorded() -> None:
    image = picture(200, 200, np.uint8)
    model = OutOfMemory(100, torch.OutOfMemoryError("injected"))
    seen, result = run(iter_restore(image, model=model, tile="whole"))
    np.testing.assert_array_equal(result.image, 255 - image)
    assert result.tile == 96
    assert seen[-1].done == seen[-1].total == 1


def test_progress_counts_every_tile_and_hands_over_finished_planes() -> None:
    image = np.random.default_rng(0).random((2, 3, 40, 40))
    steps = iter_restore(image, axes="TZYX", model=Inverse(), tile=24, first=(1, 0))
    seen, result = run(steps)
    assert [p.done for p in seen] == list(range(seen[-1].total + 1))
    assert {p.total for p in seen} == {6 * 4}
    finished = [p for p in seen if p.plane_index is not None]
    assert len(finished) == 6
    assert finished[0].plane_index == (1, 0, slice(None), slice(None))
    for progress in finished:
        assert progress.array is not None
        np.testing.assert_array_equal(progress.array, result.image[progress.plane_index])


def test_a_finished_plane_is_final_when_it_is_handed_over() -> None:
    image = np.random.default_rng(0).random((3, 40, 40))
    kept = []
    for progress in iter_restore(image, axes="ZYX", model=Inverse(), tile=24):
        if progress.array is not None:
            kept.append(progress.array.copy())
    expected = restore(image, axes="ZYX", model=Inverse(), tile=24).image
    np.testing.assert_array_equal(np.stack(kept), expected)


def test_closing_stops_computing_and_leaves_the_input_alone() -> None:
    image = picture(200, 200)
    original, model = image.copy(), Inverse()
    steps = iter_restore(image, model=model, tile=64)
    assert next(steps).done == 0
    assert model.seen == []
    assert next(steps).done == 1
    steps.close()
    assert len(model.seen) == 1
    np.testing.assert_array_equal(image, original)
    assert not torch.is_inference_mode_enabled()
    with pytest.raises(StopIteration):
        next(steps)


def test_out_is_written_plane_by_plane(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 9999, (4, 40, 50), dtype=np.uint16)
    expected = restore(image, model=Inverse(), axes="TYX", tile=24).image
    out = np.zeros_like(image)
    result = restore(image, model=Inverse(), axes="TYX", tile=24, out=out)
    assert result.image is out
    np.testing.assert_array_equal(out, expected)

    stored = zarr.create_array(
        store=tmp_path / "out.zarr", shape=image.shape, dtype=image.dtype, chunks=(1, 16, 16)
    )
    seen, result = run(iter_restore(image, model=Inverse(), axes="TYX", tile=24, out=stored))
    assert result.image is stored
    assert all(p.array is None for p in seen)
    np.testing.assert_array_equal(stored[...], expected)


def test_an_unknown_model_is_refused_by_name() -> None:
    with pytest.raises(ModelUnavailableError, match="no model 'photo-compect'"):
        restore(np.zeros((5, 5)), model="photo-compect")


def test_the_record_is_json_and_repeats_the_run(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_weights(random_gated_network(), path)
    image = np.random.default_rng(0).integers(0, 3000, (2, 2, 50, 60), dtype=np.uint16)
    result = restore(image, model=path, tile=32, axes="TCYX", strength=0.9, ensemble=True)
    assert not result.axes_guessed
    record = json.loads(json.dumps(result.record))
    assert record["weights_hash"] == weights_hash(path)
    assert record["version"]
    assert record["started"].endswith("+00:00")
    again = restore(image, **record["settings"])
    np.testing.assert_array_equal(again.image, result.image)
    assert again.settings == result.settings


def test_auto_chooses_by_colour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def load(name: str) -> BaryIR:
        asked.append(name)
        return random_gated_network()

    monkeypatch.setattr("napari_baryir.restoration.portable_model.load_model", load)
    assert restore(np.zeros((8, 8, 3))).model == "photo-compact"
    assert restore(np.zeros((8, 8))).model == "microscopy-compact"
    assert asked == ["photo-compact", "microscopy-compact"]
