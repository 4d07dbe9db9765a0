"""Lazy in, lazy out."""

from __future__ import annotations

import pickle
import threading
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import cloudpickle
import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_baryir.restoration.lazy
from fake_networks import Brighter, Identity, Inverse, OutOfMemory, random_gated_network
from napari_baryir.errors import InputError, WeightsError
from napari_baryir.restoration import iter_restore, restore
from napari_baryir.weights.files import save_weights


@pytest.fixture(autouse=True)
def no_networks_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake networks have no weights that distinguish them."""
    monkeypatch.setattr(napari_baryir.restoration.lazy, "_engines", {})


def noise(*shape: int, seed: int = 0) -> Any:
    """Seeded random uint16."""
    return np.random.default_rng(seed).integers(0, 9999, shape, dtype=np.uint16)


@st.composite
def lazy_images(draw: st.DrawFn) -> tuple[Any, Any, str]:
    """An image, the same in chunks of any size, and its axes in any order."""
    letters = draw(st.sets(st.sampled_from("TCS"))) | {"Y", "X"}
    axes = "".join(draw(st.permutations(sorted(letters))))
    shape = tuple(draw(st.integers(1, 50 if a in "YX" else 3)) for a in axes)
    chunks = tuple(draw(st.integers(1, length)) for length in shape)
    image = noise(*shape, seed=draw(st.integers(0, 99)))
    return image, da.from_array(image, chunks=chunks), axes


@settings(max_examples=30)
@given(lazy_images(), st.sampled_from([16, 32, "auto"]))
def test_lazy_is_what_eager_is(images: tuple[Any, Any, str], tile: Any) -> None:
    image, lazy, axes = images
    options: dict[str, Any] = {"axes": axes, "model": Inverse(), "tile": tile}
    result = restore(lazy, intensity=(0, 9999), **options)
    assert isinstance(result.image, da.Array)
    assert result.image.shape == image.shape
    assert result.image.dtype == image.dtype
    eager = restore(image, intensity=(0, 9999), **options)
    np.testing.assert_array_equal(result.image.compute(scheduler="sync"), eager.image)


def test_a_real_network_blends_lazily_as_in_memory() -> None:
    image = np.random.default_rng(0).random((150, 200, 3), np.float32)
    image[5, 7] = np.nan
    model = random_gated_network()
    lazy = restore(da.from_array(image, chunks=(64, 50, 3)), model=model, tile=96)
    eager = restore(image, model=model, tile=96)
    np.testing.assert_allclose(lazy.image.compute(), eager.image, atol=2e-6)


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    computed = []

    def source(block: Any) -> Any:
        computed.append(1)
        return block

    model = Identity()
    lazy = da.from_array(noise(8, 32, 32), chunks=(1, 32, 32)).map_blocks(source, dtype="u2")
    computed.clear()  # dask may have tried it for its dtype
    result = restore(lazy, axes="TYX", model=model, intensity=(0, 9999))
    assert result.lazy
    assert result.non_finite is None
    assert computed == model.seen == []
    result.image[3].compute()
    assert len(computed) == 1
    assert len(model.seen) == 1


def test_every_tile_is_restored_once_when_all_is_computed() -> None:
    model = Identity()
    image = noise(100, 130)
    lazy = da.from_array(image, chunks=(17, 23))
    restore(lazy, model=model, tile=48, intensity=(0, 9999)).image.compute()
    lazily = len(model.seen)
    model.seen.clear()
    restore(image, model=model, tile=48)
    assert lazily == len(model.seen) > 4


def test_constant_planes_and_alpha_come_back_unchanged() -> None:
    image = np.full((40, 40, 4), 77, np.uint8)
    image[..., 3] = noise(40, 40) % 256
    lazy = da.from_array(image, chunks=(16, 40, 2))
    result = restore(lazy, axes="YXS", model=Brighter(), tile=24)
    np.testing.assert_array_equal(result.image.compute(), image)


def test_zarr_comes_back_as_dask_and_streams_to_zarr_in_bounded_memory(tmp_path: Path) -> None:
    shape = (60, 256, 256)
    source = zarr.create_array(tmp_path / "in.zarr", shape=shape, dtype="u2", chunks=(1, 256, 256))
    for plane in range(shape[0]):
        source[plane] = noise(256, 256, seed=plane)
    target = zarr.create_array(tmp_path / "out.zarr", shape=shape, dtype="u2", chunks=(1, 256, 256))
    result = restore(source, axes="TYX", model=Identity())
    assert isinstance(result.image, da.Array)
    # float32, the width of the network's, would be 16 MB in all; a few planes in work are not.
    tracemalloc.start()
    result.image.store(target, scheduler="sync", lock=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6
    np.testing.assert_array_equal(target[7], source[7])
    np.testing.assert_array_equal(target[-1], source[-1])


def test_a_plane_larger_than_memory_streams_row_by_row_into_out(tmp_path: Path) -> None:
    held, most = [0], [0]
    lock = threading.Lock()

    def count(change: int) -> None:
        with lock:
            held[0] += change
            most[0] = max(most[0], held[0])

    def make(block_info: Any = None) -> Any:
        chunk = noise(64, 64, seed=hash(block_info[None]["chunk-location"]) % 99)
        count(1)
        weakref.finalize(chunk, count, -1)
        return chunk

    lazy = da.map_blocks(
        make, chunks=((64,) * 40, (64,) * 4), dtype=np.uint16, meta=np.empty((0, 0), np.uint16)
    )
    out = zarr.create_array(tmp_path / "o.zarr", shape=lazy.shape, dtype="u2", chunks=(64, 64))
    result = restore(lazy, model=Identity(), tile=64, overlap=16, intensity=(0, 9999), out=out)
    assert result.image is out
    assert 4 <= most[0] <= 12  # two rows of chunks and what is in hand, of 160
    np.testing.assert_array_equal(out[640:704], lazy[640:704].compute())


def test_progress_goes_through_a_lazy_image_with_out() -> None:
    lazy = da.from_array(noise(3, 40, 40), chunks=(1, 20, 40))
    out = np.zeros(lazy.shape, lazy.dtype)
    seen = list(iter_restore(lazy, axes="ZYX", model=Inverse(), tile=24, out=out, first=2))
    assert seen[0].total == seen[-1].done == 3 * 4
    assert next(p for p in seen if p.array is not None).plane == 2


def test_a_lazy_iteration_yields_nothing_and_returns_the_array() -> None:
    steps = iter_restore(da.zeros((3, 40, 40)), axes="ZYX", model=Inverse())
    with pytest.raises(StopIteration) as finished:
        next(steps)
    assert isinstance(finished.value.value.image, da.Array)


def test_out_of_memory_is_survived_in_a_task() -> None:
    image = noise(200, 200)
    model = OutOfMemory(100, torch.OutOfMemoryError("injected"))
    lazy = restore(da.from_array(image, chunks=200), model=model, tile=200, intensity=(0, 9999))
    np.testing.assert_array_equal(lazy.image.compute(), 9999 - image)


def test_the_graph_travels_by_the_name_of_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_weights(random_gated_network(), path)
    image = noise(40, 40, 40)
    lazy = da.from_array(image, chunks=(1, 40, 40))
    # Each worker chooses its own precision, unless it is said.
    result = restore(lazy, axes="ZYX", model=path, precision="float32")
    parcel = cloudpickle.dumps(result.image)
    assert len(parcel) < path.stat().st_size + image.nbytes
    expected = restore(image, axes="ZYX", model=path, intensity=result.intensity).image
    np.testing.assert_array_equal(pickle.loads(parcel)[3].compute(), expected[3])
    # In a fresh process, as a worker of dask.distributed would be.
    there = result.image[3].compute(scheduler="processes", num_workers=1)
    np.testing.assert_array_equal(there, expected[3])


def test_a_network_in_memory_travels_whole() -> None:
    result = restore(da.from_array(noise(40, 40), chunks=40), model=random_gated_network())
    parcel = pickle.loads(cloudpickle.dumps(result.image))
    napari_baryir.restoration.lazy._engines.clear()
    np.testing.assert_array_equal(parcel.compute(), result.image.compute())


def test_other_weights_under_the_same_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    model = random_gated_network()
    save_weights(model, path)
    result = restore(da.from_array(noise(40, 40), chunks=40), model=path)
    parcel = cloudpickle.dumps(result.image)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    save_weights(model, path)
    with pytest.raises(WeightsError, match="has other weights in this process"):
        pickle.loads(parcel).compute()


def test_the_same_work_has_the_same_name() -> None:
    lazy, model = da.from_array(noise(40, 40), chunks=40), random_gated_network()
    names = {restore(lazy, model=model).image.name for _ in range(2)}
    assert len(names) == 1
    assert restore(lazy, model=model, strength=0.5).image.name not in names
    other = random_gated_network()
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert restore(lazy, model=other).image.name not in names


def test_unknown_lengths_are_refused() -> None:
    lazy = da.from_array(noise(10, 10), chunks=5)
    with pytest.raises(InputError, match="compute_chunk_sizes"):
        restore(lazy[lazy[:, 0] > 5], model=Identity())
