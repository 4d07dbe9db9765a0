"""Fixtures that several test modules use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from napari_baryir.cli import main
from napari_baryir.network import BaryIR
from napari_baryir.network.variants import VARIANTS
from napari_baryir.weights.files import save_weights
from published_checkpoints import save_whole_module

# Computers may be busy with other work; fixtures here serve all examples of a test.
shared_fixtures = [HealthCheck.function_scoped_fixture]
settings.register_profile("ours", deadline=None, suppress_health_check=shared_fixtures)
settings.load_profile("ours")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(autouse=True)
def own_model_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Keep the user's own models out of the tests, and the tests out of the user's folder."""
    folder = tmp_path_factory.mktemp("models")
    monkeypatch.setenv("NAPARI_BARYIR_MODELS", os.fspath(folder))
    return folder


@pytest.fixture(autouse=True, scope="session")
def every_cpu_alike() -> Iterator[None]:
    """Let "auto" be float32 on every CPU, so that answers are compared like with like."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Bit-equality is promised for an equal number of threads; one is also kind to others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the conformance vectors and the data sets, beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("../shared (conformance vectors and data sets) is not on this computer")
    return SHARED


@pytest.fixture
def tiny_model() -> BaryIR:
    """A network with seeded random weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BaryIR(VARIANTS["tiny-restormer"]).eval()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where imported weights go."""
    return tmp_path / "out.safetensors"


@pytest.fixture
def checkpoint(tiny_model: BaryIR, tmp_path: Path) -> Path:
    """`tiny_model` as a whole pickled module, as published."""
    path = tmp_path / "whole.pth"
    save_whole_module(tiny_model, path)
    return path


@pytest.fixture
def weak_weights(tmp_path_factory: pytest.TempPathFactory, tiny_model: BaryIR) -> Path:
    """Weights of a random network that changes an image a little."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    with torch.no_grad():
        for parameter in tiny_model.parameters():
            parameter.mul_(0.5)
    save_weights(tiny_model, path)
    return path


@pytest.fixture
def run(weak_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run ``napari-baryir restore`` in an empty folder, on the CPU, with a tiny network."""
    monkeypatch.chdir(tmp_path)

    def restored(*arguments: object) -> int:
        words = [str(argument) for argument in arguments]
        return main(["restore", *words, "--model", str(weak_weights), "--device", "cpu"])

    return restored


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """The model that a fine-tuning starts from."""
    from finetune_start import save_tiny_model

    return save_tiny_model(tmp_path / "tiny.safetensors")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Pairs to fine-tune on: a folder of degraded images and one of clean ones."""
    from finetune_start import write_pairs

    return write_pairs(tmp_path)
