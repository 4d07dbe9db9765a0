"""Results are saved through our own writer, with axes and metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QFileDialog

from napari_baryir.files import read_image

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock

STACK = np.random.default_rng(0).integers(0, 4000, (3, 40, 48), np.uint16)


def restore(dock: RestoreDock, qtbot: QtBot) -> Any:
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    return finished.args[0]


def save(dock: RestoreDock, qtbot: QtBot, path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Press Save… and answer the dialog; return the name that it proposed."""
    proposed: list[str] = []

    def answer(_: Any, title: str, name: str, kinds: str) -> tuple[str, str]:
        proposed.append(name)
        return str(path), kinds

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    with qtbot.waitSignal(dock.session.saved):
        dock.compare.save.click()
    assert str(path) in dock.status.message.text()
    return Path(proposed[0]).name


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", ["saved.tif", "saved.ome.zarr"])
def test_axes_scale_and_strength_are_saved(
    dock: RestoreDock, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, lazy: bool,
) -> None:  # fmt: skip
    data = da.from_array(STACK, chunks=(1, 40, 48)) if lazy else STACK
    labels, units = ("t", "y", "x"), ("s", "um", "um")
    told = {"scale": (3, 0.5, 0.5), "units": units, "axis_labels": labels}
    dock.viewer.add_image(data, name="cells: 1/2", **told)
    result = restore(dock, qtbot)
    dock.form.strength.value = 0.5
    assert save(dock, qtbot, tmp_path / name, monkeypatch) == "cells- 1-2-restored.tif"
    shown = np.asarray(da.asarray(result.layer.data).compute(scheduler="sync"))
    with read_image(tmp_path / name) as saved:
        assert saved.axes == "TYX"
        np.testing.assert_array_equal(np.asarray(saved.data), shown)
        assert dict(saved.scale) == pytest.approx({"T": 3, "Y": 0.5, "X": 0.5})
        assert saved.units["X"] == "micrometer"
    assert not np.array_equal(shown, STACK)


def test_metadata_of_the_original_s_file_is_kept(
    dock: RestoreDock, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = {"axes": "ZYX", "Info": "lens 20x", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(
        tmp_path / "cells.tif", STACK, imagej=True, metadata=described, resolution=(4, 4)
    )
    dock.viewer.open(tmp_path / "cells.tif", plugin="napari")
    restore(dock, qtbot)
    save(dock, qtbot, tmp_path / "saved.tif", monkeypatch)
    with tifffile.TiffFile(tmp_path / "saved.tif") as saved:
        assert saved.imagej_metadata["Info"] == "lens 20x"
        assert saved.imagej_metadata["spacing"] == 2.0


def test_what_does_not_fit_is_said_and_nothing_is_written(
    dock: RestoreDock, qtbot: QtBot, tmp_path: Path
) -> None:
    dock.viewer.add_image(STACK)
    restore(dock, qtbot)
    with qtbot.waitSignal(dock.session.failed):
        dock.compare.save_asked.emit(tmp_path / "stack.jpg")
    assert "JPEG holds" in dock.status.message.text()
    assert not (tmp_path / "stack.jpg").exists()
    assert not dock.compare.isHidden()
