"""What the tests of the plugin share: a real viewer on a real (or virtual) screen."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partialmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytestqt.qtbot import QtBot

from napari_baryir.network import BaryIR
from napari_baryir.weights.files import save_weights

if TYPE_CHECKING:
    from held_tiles import Gate
    from napari import Viewer

    from napari_baryir.widgets.estimate.dock import DegradationDock
    from napari_baryir.widgets.finetune.dock import FinetuneDock
    from napari_baryir.widgets.restore.dock import RestoreDock

HERE = Path(__file__).parent

PATIENCE_MS = 120_000
"""Reached only by what never comes."""


def _missing() -> str | None:
    """Why no window can open here; None where one can."""
    on_x = sys.platform.startswith("linux")
    if on_x and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "no display: run under xvfb-run"
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen":
        return "Qt's offscreen platform has no OpenGL: run under xvfb-run"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a screen where there is none; Qt would end the whole process."""
    reason = _missing()
    if reason is None:
        return
    for item in items:
        needs_screen = {"qapp", "qtbot", "make_napari_viewer"} & set(_fixtures(item))
        if HERE in item.path.parents and needs_screen:
            item.add_marker(pytest.mark.skip(reason=reason))


def _fixtures(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", []))


@pytest.fixture(scope="session", autouse=True)
def quick_garbage_collection() -> Iterator[None]:
    """Leave what is there by now, mostly modules, out of the collections after each viewer."""
    importlib.import_module("napari.qt")
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def leaked_widgets_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have napari look for widgets that outlive a test; its warning is an error here."""
    monkeypatch.setenv("NAPARI_STRICT_QT", "1")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long for what comes, unless a test says otherwise; a busy computer needs it."""
    for name in ("waitSignal", "waitSignals", "waitUntil"):
        patient = partialmethod(getattr(QtBot, name), timeout=PATIENCE_MS)
        monkeypatch.setattr(QtBot, name, patient)


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Viewer:
    """A viewer whose window is not shown."""
    made: Viewer = make_napari_viewer()
    return made


@pytest.fixture
def tiny_weights(tmp_path_factory: pytest.TempPathFactory, tiny_model: BaryIR) -> Path:
    """Weights file of a network with seeded random weights that takes milliseconds."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(tiny_model, path)
    return path


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Holds the network at every tile, until it is opened or the test ends."""
    from held_tiles import Gate

    made = Gate(monkeypatch)
    yield made
    made.open.set()


@pytest.fixture
def dock(viewer: Viewer, qtbot: Any, tiny_model: BaryIR, tmp_path: Path) -> Iterator[RestoreDock]:
    """The Restore dock in the viewer's window, with a tiny model chosen, on the CPU."""
    save_weights(tiny_model, _model_folder() / "tiny.safetensors")

    def make() -> RestoreDock:
        from napari_baryir.widgets.restore.dock import RestoreDock

        return RestoreDock(viewer)

    yield from _docked(make, "tiny", qtbot, tmp_path)


@pytest.fixture
def map_dock(viewer: Viewer, qtbot: Any, tmp_path: Path) -> Iterator[DegradationDock]:
    """The Degradation map dock in the viewer's window, with a tiny calibrated model, on the CPU."""
    from calibrated_networks import calibrated_network

    save_weights(calibrated_network(), _model_folder() / "calibrated.safetensors")

    def make() -> DegradationDock:
        from napari_baryir.widgets.estimate.dock import DegradationDock

        return DegradationDock(viewer)

    yield from _docked(make, "calibrated", qtbot, tmp_path)


@pytest.fixture
def finetune_dock(
    viewer: Viewer, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FinetuneDock]:
    """The Fine-tune dock in the viewer's window, with few steps of a tiny model."""
    from finetuning import quick, save_tiny_model
    from qtpy.QtCore import QSettings

    from finetune_start import keep_any
    from napari_baryir.widgets.finetune.dock import FinetuneDock

    settings = tmp_path / "settings"
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(settings))
    keep_any(monkeypatch)
    save_tiny_model()
    made = FinetuneDock(viewer)
    viewer.window.add_dock_widget(made, name="Fine-tune")
    quick(made)
    yield made
    _end(made.session.run, qtbot)


def _end(run: Any, qtbot: Any) -> None:
    """Cancel a run, if there is one, and wait for its end."""
    if run is not None:
        run.cancel()
        if not run.over:
            with qtbot.waitSignal(run.ended):
                pass


def _model_folder() -> Path:
    from napari_baryir.weights.cache import model_folder

    return model_folder()


def _docked(make: Callable[[], Any], model: str, qtbot: Any, settings: Path) -> Iterator[Any]:
    """A dock in its viewer's window, with small tiles on the CPU; its run ends with the test."""
    from qtpy.QtCore import QSettings, QThreadPool

    scope = QSettings.Scope.UserScope
    QSettings.setPath(QSettings.Format.IniFormat, scope, str(settings / "settings"))
    made = make()
    made.viewer.window.add_dock_widget(made, name=type(made).__name__)
    made.form.model.value = model
    made.form.device.value = "cpu"
    made.form.tile.value = "32"
    made.form.overlap.value = "8"
    session = made.session
    yield made
    _end(session.run, qtbot)
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0)


@pytest.fixture
def another_form(viewer: Viewer) -> Iterator[Callable[[Any], Any]]:
    """Makes forms of the viewer and puts their controls into a dock, so that they go with it.

    PySide6 would keep loose ones for ever: magicgui's FloatSlider connects a function that refers
    to it, which Python's garbage collector cannot see (napari#3238).
    """
    from napari_baryir.widgets.dock.controls import lay_out

    made: list[Any] = []

    def make(kind: Callable[[Any], Any]) -> Any:
        form = kind(viewer)
        page = lay_out([*form.basic, *form.advanced])
        viewer.window.add_dock_widget(page, name=f"form {len(made)}")
        made.append(form)
        return form

    yield make
    for form in made:
        form.close()
