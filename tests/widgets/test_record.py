"""The record repeats the run: as Python that is executed, as a command that is parsed and run."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_baryir import restore
from napari_baryir.cli import main
from napari_baryir.files import read_image, write_image
from napari_baryir.widgets.restore.record import as_command, as_python, make_record, with_strength
from napari_baryir.widgets.viewer.regions import Box

STACK = np.random.default_rng(0).integers(0, 4000, (2, 40, 48), np.uint16)


def restored(image: Any, weights: Path, **more: Any) -> Any:
    return restore(image, axes="ZYX", model=str(weights), device="cpu", tile=32, **more)


def record_of(restoration: Any, path: Path | None, box: Box) -> dict[str, Any]:
    layer: Any = SimpleNamespace(name="it's a stack", source=SimpleNamespace(path=path))
    return make_record(restoration, layer, box, 1.0)


def test_python_repeats_the_run(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box((slice(0, 2), slice(4, 36), slice(8, 40)), whole=False)
    first = restored(STACK[box.slices], tiny_weights, strength=0.5)
    record = with_strength(record_of(first, None, box), 0.5)
    layer = SimpleNamespace(data=STACK, multiscale=False)
    viewer = SimpleNamespace(layers={"it's a stack": layer})
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    names: dict[str, Any] = {}
    exec(as_python(record), names)
    np.testing.assert_array_equal(names["restored"], first.image)
    assert record["weights_hash"] in as_python(record)


@pytest.mark.parametrize("intensity", ["auto", (-50.0, 2500.0)])
def test_command_repeats_the_run_on_the_file(
    tiny_weights: Path, tmp_path: Path, intensity: str | tuple[float, float]
) -> None:
    path = tmp_path / "my stack.tif"
    write_image(path, STACK, axes="ZYX")
    box = Box(tuple(slice(0, n) for n in STACK.shape), whole=True)
    first = restored(STACK, tiny_weights, intensity=intensity)
    words = shlex.split(as_command(record_of(first, path, box)), comments=True)
    assert words[0] == "napari-baryir"
    words[words.index("-o") + 1] = str(tmp_path / "out.tif")
    assert main(words[1:]) == 0
    with read_image(tmp_path / "out.tif") as made:
        np.testing.assert_array_equal(np.asarray(made.data), first.image)


def test_command_says_what_it_cannot_repeat(tiny_weights: Path) -> None:
    box = Box((slice(0, 1), slice(0, 40), slice(0, 48)), whole=False)
    text = as_command(record_of(restored(STACK[:1], tiny_weights), None, box))
    assert "did not come from a file" in text
    assert "only a part" in text
