"""LPIPS: fed as its authors feed it, and its absence is said. The tests need no weights of it."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_baryir.errors import DataError
from napari_baryir.training.evaluate import INPUT, Evaluation, ImageScore
from napari_baryir.training.evaluate.peers import load_lpips
from napari_baryir.training.evaluate.report import to_csv, to_markdown


class FakeLpips(torch.nn.Module):
    """Stands for the package's network: remembers what it was fed."""

    fed: tuple[Tensor, ...] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__()
        assert options["net"] == "alex"

    def forward(self, image: Tensor, clean: Tensor) -> Tensor:
        FakeLpips.fed = (image, clean)
        return (image - clean).abs().mean().reshape(1, 1, 1, 1)


def test_it_is_fed_three_colours_in_minus_one_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=FakeLpips))
    distance = load_lpips()
    clean = np.linspace(0, 1, 32 * 40, dtype=np.float32).reshape(32, 40)
    assert distance(clean + 2, clean) == pytest.approx(1, abs=0.01)  # clamped to 1: 2 (1 - mean)
    image, truth = FakeLpips.fed
    assert image.shape == truth.shape == (1, 3, 32, 40)
    assert (float(truth.min()), float(truth.max())) == (-1, 1)
    assert image.unique().tolist() == [1]
    colours = np.repeat(clean[..., None], 3, axis=2)
    assert distance(colours, colours) == 0
    assert math.isnan(distance(clean[:31], clean[:31]))


def test_missing_package_and_missing_weights_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)  # as if it were not installed
    with pytest.raises(DataError, match=r"pip install lpips torchvision"):
        load_lpips()

    def refuse(**_: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=refuse))
    with pytest.raises(DataError, match=r"cannot be had \(no route to host\)"):
        load_lpips()


def test_reports_have_it_where_it_was_measured() -> None:
    rows = [
        ImageScore(str(i), "haze", INPUT, 20, 0.5, None, None, 0.1, lpips)
        for i, lpips in enumerate((0.2, 0.4))
    ]
    measured = Evaluation(tuple(rows))
    assert "| 20.00 / 0.5000 / 0.3000 |" in to_markdown(measured)
    assert to_csv(measured).splitlines()[1].endswith(",0.20000")
    without = Evaluation((ImageScore("a", "haze", INPUT, 20, 0.5, None, None, 0.1),))
    assert "| 20.00 / 0.5000 |" in to_markdown(without)
