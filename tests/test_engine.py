"""One tile through the network, and memory that runs out."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fake_networks import Brighter, FakeNetwork, Identity, Inverse, OutOfMemory
from napari_baryir.devices import (
    bytes_per_pixel,
    choose_device,
    choose_precision,
    choose_tile,
    is_out_of_memory,
)
from napari_baryir.errors import DeviceError, InputError
from napari_baryir.network import BaryIR
from napari_baryir.restoration.engine import TileEngine

CPU = torch.device("cpu")
OOM_ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you"),
]


def tile_of(height: int, width: int, colours: int = 3) -> np.ndarray:
    """A seeded random tile."""
    return np.random.default_rng(0).random((height, width, colours), np.float32)


@pytest.mark.parametrize("colours", [1, 3])
def test_change_is_restored_minus_degraded(colours: int) -> None:
    tile = tile_of(16, 24, colours)
    change = TileEngine(Inverse(), CPU, "float32").change(tile)
    assert change.shape == tile.shape
    np.testing.assert_allclose(tile + change, 1 - tile, atol=1e-6)


def test_grey_is_the_mean_of_the_three_answers() -> None:
    class Tinted(FakeNetwork):
        def answer(self, x: Tensor) -> Tensor:
            return x + torch.tensor([0.0, 0.1, 0.5]).reshape(1, 3, 1, 1)

    change = TileEngine(Tinted(), CPU, "float32").change(tile_of(8, 8, 1))
    np.testing.assert_allclose(change, 0.2, atol=1e-6)


def test_a_tile_without_content_is_left_alone_where_asked() -> None:
    network = Brighter()
    empty = np.full((8, 8, 3), 0.3, np.float32)
    assert not TileEngine(network, CPU, "float32", skip_empty=True).change(empty).any()
    assert network.seen == []
    assert TileEngine(network, CPU, "float32").change(empty).all()


def test_ensemble_shows_all_eight_views_and_is_equivariant(tiny_model: BaryIR) -> None:
    network = Identity()
    engine = TileEngine(network, CPU, "float32", ensemble=True)
    np.testing.assert_allclose(engine.change(tile_of(8, 16)), 0, atol=1e-6)
    assert sorted(network.seen) == [(8, 16)] * 4 + [(16, 8)] * 4

    engine = TileEngine(tiny_model, CPU, "float32", ensemble=True)
    tile = tile_of(16, 16)
    turned = np.ascontiguousarray(np.rot90(tile)[:, ::-1])
    expected = np.rot90(engine.change(tile))[:, ::-1]
    np.testing.assert_allclose(engine.change(turned), expected, atol=1e-5)


@pytest.mark.parametrize("error", OOM_ERRORS, ids=lambda e: type(e).__name__)
def test_out_of_memory_halves_the_tile_and_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    network = OutOfMemory(100, error)
    engine = TileEngine(network, CPU, "float32")
    tile = tile_of(256, 320)
    with caplog.at_level(logging.WARNING):
        change = engine.change(tile)
    np.testing.assert_allclose(tile + change, 1 - tile, atol=1e-6)
    assert engine.largest == 72
    assert max(max(size) for size in network.seen[2:]) <= 72
    assert [r.getMessage() for r in caplog.records] == [
        "cpu: a tile of 320 pixels does not fit into memory; going on with 160",
        "cpu: a tile of 152 pixels does not fit into memory; going on with 72",
    ]
    network.seen.clear()
    engine.change(tile)
    assert max(max(size) for size in network.seen) <= 72  # it remembers


def test_out_of_memory_at_the_smallest_tile_says_what_to_do() -> None:
    engine = TileEngine(OutOfMemory(63, torch.OutOfMemoryError), CPU, "float32")
    with pytest.raises(DeviceError, match=r"even for a tile of 64 pixels.*smaller model"):
        engine.change(tile_of(256, 256))


def test_any_other_error_is_not_taken_for_want_of_memory() -> None:
    engine = TileEngine(OutOfMemory(10, RuntimeError("CUDA error: unspecified")), CPU, "float32")
    with pytest.raises(RuntimeError, match="unspecified"):
        engine.change(tile_of(128, 128))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))


def test_an_answer_that_is_not_finite_is_an_error() -> None:
    class Broken(FakeNetwork):
        def answer(self, x: Tensor) -> Tensor:
            return x / 0

    with pytest.raises(DeviceError, match="not finite"):
        TileEngine(Broken(), CPU, "float32").change(tile_of(8, 8))


def test_bfloat16_is_close_to_float32(tiny_model: BaryIR) -> None:
    tile = tile_of(32, 32)
    exact = TileEngine(tiny_model, CPU, "float32").change(tile)
    rough = TileEngine(tiny_model, CPU, "bfloat16").change(tile)
    assert 0 < np.abs(rough - exact).max() < 0.1


def test_the_callers_network_is_not_touched() -> None:
    network = nn.Sequential(nn.Dropout())
    network.size_multiple = 8
    network.train()
    assert not TileEngine(network, CPU, "float32").model.training
    assert network.training


def test_gradients_are_off_inside_and_on_outside() -> None:
    class Asking(FakeNetwork):
        def answer(self, x: Tensor) -> Tensor:
            assert torch.is_inference_mode_enabled()
            return x

    TileEngine(Asking(), CPU, "float32").change(tile_of(8, 8))
    assert not torch.is_inference_mode_enabled()


def test_devices_and_precisions_that_are_not_there_are_refused() -> None:
    with pytest.raises(DeviceError, match="'abacus' is unknown"):
        choose_device("abacus")
    with pytest.raises(DeviceError, match=r"torch sees .* here"):
        choose_device("cuda:99")
    with pytest.raises(DeviceError, match="not supported"):
        choose_device("meta")
    with pytest.raises(InputError, match="precision 'double' is unknown"):
        choose_precision("double", CPU)
    with pytest.raises(DeviceError, match="does not compute in float16"):
        choose_precision("float16", CPU)


@pytest.mark.parametrize(("fast", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_cpu_is_faster_in_it(
    fast: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    assert choose_precision("auto", CPU) == chosen


def test_tiles_follow_free_memory(tiny_model: BaryIR, monkeypatch: pytest.MonkeyPatch) -> None:
    def tile_with(free: float, side: int = 5000) -> int:
        monkeypatch.setattr("napari_baryir.devices.free_memory", lambda _: int(free))
        return choose_tile(side, side, tiny_model, CPU)

    assert tile_with(1e12) == 512
    assert tile_with(1e12, side=640) == 640  # small planes are not cut
    assert tile_with(0) == 64
    middle = tile_with(4 * 200**2 * bytes_per_pixel(tiny_model) / 2)
    assert 64 < middle < 512
    assert middle % 64 == 0
