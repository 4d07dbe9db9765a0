"""Importing a model from the dock: chosen when it is there, a sentence when it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock


def test_imported_model_is_chosen(dock: RestoreDock, qtbot: QtBot, tiny_weights: Path) -> None:
    path = tiny_weights.with_name("mine.safetensors")
    path.write_bytes(tiny_weights.read_bytes())
    with qtbot.waitSignal(dock.models.said) as told:
        dock.models.import_file(path)
    assert told.args == ["Importing mine.safetensors…"]
    qtbot.waitUntil(lambda: dock.form.model.value == "mine")
    assert dock.status.message.text() == "Imported mine."
    qtbot.waitUntil(dock.models.import_button.isEnabled)


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth", "tiny.safetensors"])
def test_what_cannot_be_imported_is_told_in_a_sentence(
    dock: RestoreDock, qtbot: QtBot, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"no weights at all")
    with qtbot.waitSignal(dock.models.failed) as failed:
        dock.models.import_file(tmp_path / name)
    assert name in failed.args[0].sentence
    assert dock.status.message.text() == failed.args[0].sentence
    qtbot.waitUntil(dock.models.import_button.isEnabled)
    assert dock.form.model.value == "tiny"
