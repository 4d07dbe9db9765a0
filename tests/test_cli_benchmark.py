"""``napari-baryir benchmark``: how fast models are here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_networks import random_gated_network
from napari_baryir import cli
from napari_baryir.restoration.speed import Speed, best
from napari_baryir.weights.files import save_weights


def test_the_best_is_the_fastest_that_agrees() -> None:
    exact = Speed("m", "cpu", "float32", 1.0, 1, None, True)
    close = Speed("m", "cpu", "bfloat16", 2.0, 1, 51.0, False)
    rough = Speed("m", "cpu", "float16", 3.0, 1, 49.0, False)
    assert best([exact, close, rough]) == close
    assert best([exact, rough]) == exact


def test_each_precision_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "small.safetensors")
    save_weights(random_gated_network(), path)
    words = ["--device", "cpu", "--size", "64", "--runs", "1", "--json", "--quiet"]
    assert cli.main(["benchmark", path, *words]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["precision"] for row in rows] == ["float32", "bfloat16"]
    assert sum(row["auto"] for row in rows) == 1
    assert rows[0]["agreement"] is None
    assert rows[1]["agreement"] > 20
    assert all(row["peak_memory"] > 1e7 and row["megapixels_per_second"] > 0 for row in rows)
    assert sum(row["best"] for row in rows) == 1


def test_a_size_that_is_too_small_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["benchmark", "--size", "8"]) == cli.FAILED
    assert "at least 64" in capsys.readouterr().err
