"""The Batch tab in a real viewer, with real threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_baryir import restore
from napari_baryir.errors import InputError
from napari_baryir.files import write_image
from napari_baryir.widgets.restore.batch.items import BatchSettings

if TYPE_CHECKING:
    from napari import Viewer
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.batch.tab import BatchTab


@pytest.fixture
def settings(tiny_weights: Path) -> BatchSettings:
    return BatchSettings(model=str(tiny_weights), device="cpu", tile=32)


@pytest.fixture
def tab(viewer: Viewer, qtbot: QtBot, settings: BatchSettings) -> Iterator[BatchTab]:
    """The tab in the viewer's window."""
    from napari_baryir.widgets.restore.batch.tab import BatchTab

    made = BatchTab(viewer, lambda: settings)
    viewer.window.add_dock_widget(made, name="Batch")
    yield made
    made.release()
    if made.running:
        with qtbot.waitSignal(made.finished):
            pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two stacks of several tiles."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.tif", "b.tif"):
        write_image(folder / name, rng.integers(0, 999, (4, 64, 64), np.uint16), axes="ZYX")
    return folder


def choose(tab: BatchTab, qtbot: QtBot, folder: Path) -> None:
    with qtbot.waitSignal(tab.listed):
        tab.choice.choose_folder(str(folder))


def column(tab: BatchTab, number: int) -> list[str]:
    return [tab.table.item(row, number).text() for row in range(tab.table.rowCount())]


def test_empty_tab_says_what_to_do(tab: BatchTab) -> None:
    assert tab.button.text() == "Restore"
    assert not tab.button.isEnabled()
    assert "Choose a folder" in tab.label.text()


def test_folder_is_listed_restored_and_then_done(tab: BatchTab, qtbot: QtBot, folder: Path) -> None:
    choose(tab, qtbot, folder)
    assert column(tab, 0) == ["a.tif", "b.tif"]
    assert column(tab, 1) == ["waiting", "waiting"]
    with qtbot.waitSignal(tab.finished):
        tab.button.click()
    assert column(tab, 1) == ["done", "done"]
    made = sorted(Path(row.text) for row in tab.table.rows)
    assert made == sorted((folder.parent / "images-restored").glob("*.tif"))
    assert tab.button.text() == "Restore"
    assert not tab.button.isEnabled()


def test_a_run_says_what_it_loads_and_loads_it_without_the_lock(
    tab: BatchTab, qtbot: QtBot, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    monkeypatch.setattr(
        "napari_baryir.widgets.dock.steps.load_libraries", lambda: loads.append(tab.table.rows[0])
    )
    choose(tab, qtbot, folder)
    tab.button.click()
    assert tab.label.text().startswith("Loading the model…")
    with qtbot.waitSignal(tab.updated):
        pass
    assert "Loading" not in tab.label.text()
    assert [row.state.value for row in loads] == ["waiting"]
    with qtbot.waitSignal(tab.finished):
        pass


def test_images_that_hardly_change_are_told_from_the_others(
    tab: BatchTab, qtbot: QtBot, folder: Path
) -> None:
    tab._get_settings = lambda: BatchSettings(device="cpu", strength=0.0)
    choose(tab, qtbot, folder)
    with qtbot.waitSignal(tab.finished):
        tab.button.click()
    assert column(tab, 1) == ["done, practically unchanged"] * 2


def test_cancel_stops_and_the_next_run_goes_on(tab: BatchTab, qtbot: QtBot, folder: Path) -> None:
    choose(tab, qtbot, folder)

    def cancel_in_the_second() -> None:
        if tab.table.rows[1].text:
            tab.button.click()

    tab.start()
    assert tab.button.text() == "Cancel"
    tab._run.stepped.connect(cancel_in_the_second)
    with qtbot.waitSignal(tab.finished):
        pass
    assert column(tab, 1) == ["done", "waiting"]
    first, second = (folder.parent / "images-restored" / name for name in ("a.tif", "b.tif"))
    assert not second.exists()
    written = first.stat().st_mtime_ns
    with qtbot.waitSignal(tab.finished):
        tab.button.click()
    assert column(tab, 1) == ["done", "done"]
    assert second.exists()
    assert first.stat().st_mtime_ns == written


def test_done_before_is_shown_and_can_be_asked_for_again(
    tab: BatchTab, qtbot: QtBot, folder: Path
) -> None:
    out = folder.parent / "images-restored"
    out.mkdir()
    (out / "a.tif").write_bytes(b"newer than the image")
    choose(tab, qtbot, folder)
    assert column(tab, 1) == ["done", "waiting"]
    with qtbot.waitSignal(tab.listed):
        tab.choice.again.setChecked(True)
    assert column(tab, 1) == ["waiting", "waiting"]


def test_failed_image_says_why_and_details_are_behind_a_button(
    tab: BatchTab, qtbot: QtBot, folder: Path
) -> None:
    (folder / "a.tif").write_bytes(b"no image")
    choose(tab, qtbot, folder)
    with qtbot.waitSignal(tab.finished):
        tab.button.click()
    why, other = column(tab, 1)
    assert why.startswith("failed: not a TIFF file")
    assert other == "done"
    tab.table.setCurrentCell(0, 0)
    tab.details_button.click()
    assert not tab.details.isHidden()
    assert "a.tif: not a TIFF file" in tab.details.toPlainText()
    tab.table.setCurrentCell(1, 0)
    assert tab.details.toPlainText() == str(folder.parent / "images-restored" / "b.tif")
    tab.details_button.click()
    assert tab.details.isHidden()


def test_what_of_the_folder_is_left_out_is_said(tab: BatchTab, qtbot: QtBot, folder: Path) -> None:
    (folder / "notes.txt").write_text("no image")
    choose(tab, qtbot, folder)
    assert "left out 1 file of other kinds: 1 .txt" in tab.label.text()
    assert "2 waiting" in tab.label.text()
    assert tab.button.isEnabled()


def test_folder_without_images_is_explained(tab: BatchTab, qtbot: QtBot, tmp_path: Path) -> None:
    choose(tab, qtbot, tmp_path / "nowhere")
    assert "no folder" in tab.label.text()
    assert not tab.button.isEnabled()


def test_selected_layers_are_restored_above_themselves(
    tab: BatchTab, viewer: Viewer, qtbot: QtBot, settings: BatchSettings
) -> None:
    rng = np.random.default_rng(0)
    scale, data = (2.0, 3.0), rng.integers(0, 999, (40, 48), np.uint16)
    first = viewer.add_image(data, name="first", scale=scale)
    other = viewer.add_image(data, name="other")
    last = viewer.add_image(data[::-1].copy(), name="last")
    tab.choice.kind.setCurrentText("The selected layers")
    viewer.layers.selection = {first, last}
    assert column(tab, 0) == ["first", "last"]
    with qtbot.waitSignal(tab.finished):
        tab.button.click()
    assert column(tab, 1) == ["done", "done"]
    assert [layer.name for layer in viewer.layers] == [
        "first", "first restored", "other", "last", "last restored",
    ]  # fmt: skip
    made = viewer.layers["first restored"]
    expected = restore(data, axes="YX", **vars(settings)).image
    np.testing.assert_array_equal(made.data, expected)
    assert tuple(made.scale) == scale
    assert made.metadata["napari_baryir"]["settings"]["axes"] == "YX"
    viewer.layers.selection = {last, other}
    assert dict(zip(column(tab, 0), column(tab, 1), strict=True)) == {
        "other": "waiting",
        "last": "done",
    }


def test_layer_removed_while_it_runs_fails_and_the_next_goes_on(
    tab: BatchTab, viewer: Viewer, qtbot: QtBot
) -> None:
    gone = viewer.add_image(np.eye(200, dtype=np.float32), name="gone")
    kept = viewer.add_image(np.eye(40, dtype=np.float32), name="kept")
    tab.choice.kind.setCurrentText("The selected layers")
    viewer.layers.selection = {gone, kept}

    def remove() -> None:
        if gone in viewer.layers and tab.table.rows[0].text:
            viewer.layers.remove(gone)

    tab.start()
    tab._run.stepped.connect(remove)
    with qtbot.waitSignal(tab.finished):
        pass
    assert column(tab, 1) == ["failed: It was removed before it was done.", "done"]
    assert [layer.name for layer in viewer.layers] == ["kept", "kept restored"]


def test_second_run_waits_for_the_first(
    tab: BatchTab, viewer: Viewer, qtbot: QtBot, folder: Path, settings: BatchSettings
) -> None:
    from napari_baryir.widgets.restore.batch.tab import BatchTab

    other = BatchTab(viewer, lambda: settings)
    viewer.window.add_dock_widget(other)
    viewer.add_image(np.eye(40, dtype=np.float32))
    choose(tab, qtbot, folder)
    other.choice.kind.setCurrentText("The selected layers")
    ended: list[BatchTab] = []
    tab.finished.connect(lambda: ended.append(tab))
    other.finished.connect(lambda: ended.append(other))
    with qtbot.waitSignals([tab.finished, other.finished]):
        tab.start()
        other.start()
        assert "Waiting" in other.label.text()
    assert ended == [tab, other]


def test_viewer_closed_while_it_runs_ends_the_run(
    make_napari_viewer: Callable[..., Any],
    qtbot: QtBot,
    folder: Path,
    settings: BatchSettings,
) -> None:
    from napari_baryir.widgets.restore.batch.tab import BatchTab

    viewer = make_napari_viewer()
    tab = BatchTab(viewer, lambda: settings)
    viewer.window.add_dock_widget(tab)
    choose(tab, qtbot, folder)
    tab.start()
    run = tab._run
    with qtbot.waitSignal(run.stepped):
        pass
    with qtbot.waitSignal(run.ended):
        viewer.close()
    assert run.state == "cancelled"
    assert not list((folder.parent / "images-restored").glob("b.tif"))


def test_settings_that_cannot_be_used_are_explained(
    viewer: Viewer, qtbot: QtBot, folder: Path
) -> None:
    from napari_baryir.widgets.restore.batch.tab import BatchTab

    def refuse() -> BatchSettings:
        raise InputError("tile is 3; give at least 16")

    tab = BatchTab(viewer, refuse)
    viewer.window.add_dock_widget(tab)
    choose(tab, qtbot, folder)
    tab.start()
    assert "tile is 3" in tab.label.text().replace("Tile", "tile")
    assert not tab.running
    tab.release()
