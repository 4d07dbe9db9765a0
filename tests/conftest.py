"""Fixtures that several test modules use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from napari_baryir.network import BaryIR
from napari_baryir.network.variants import VARIANTS
from published_checkpoints import save_whole_module

settings.register_profile("no deadline", deadline=None)  # computers may be busy with other work
settings.load_profile("no deadline")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(autouse=True)
def own_model_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep the user's own models out of the tests, and the tests out of the user's folder."""
    monkeypatch.setenv("NAPARI_BARYIR_MODELS", os.fspath(tmp_path_factory.mktemp("models")))


@pytest.fixture(autouse=True, scope="session")
def every_cpu_alike() -> Iterator[None]:
    """Let "auto" be float32 on every CPU, so that answers are compared like with like."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        yield


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
