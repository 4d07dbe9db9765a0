"""The Fine-tune dock: teach a model one's own images, watch it learn, and use it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_baryir.errors import BaryIRError, InputError
from napari_baryir.widgets.dock.controls import lay_out, side_by_side
from napari_baryir.widgets.dock.dock import Column, RunDock, open_dock
from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.estimate.dock import DegradationDock
from napari_baryir.widgets.finetune.camera import CameraLine
from napari_baryir.widgets.finetune.choices import EXPLAINED
from napari_baryir.widgets.finetune.form import FinetuneForm
from napari_baryir.widgets.finetune.job import Trained
from napari_baryir.widgets.finetune.panel import FinetunePanel, progress_text, result_text
from napari_baryir.widgets.finetune.session import FinetuneSession
from napari_baryir.widgets.restore.dock import RestoreDock

if TYPE_CHECKING:
    from napari.components import ViewerModel


class FinetuneDock(RunDock):
    """Fine-tune a model on layers or folders."""

    form: FinetuneForm
    session: FinetuneSession
    page = "finetune.md"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer, FinetuneForm, FinetuneSession, "Train")
        self.panel = FinetunePanel(self.session)
        self.camera = CameraLine()
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.resume_button = QPushButton("Resume")
        self.resume_button.setToolTip(
            "Go on with the training of that name that was stopped, with its own settings."
        )
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._lay_out()
        self._connect()
        self._begin()
        self._on_like()

    def _start(self) -> None:
        problem = self.form.problem()
        if problem is not None:
            raise InputError(problem.rstrip("."))
        self._train(resume=False)

    def resume(self) -> None:
        """Do what the Resume button does."""
        self._try(functools.partial(self._train, resume=True))

    def _train(self, *, resume: bool) -> None:
        job = self.form.job(resume=resume)
        self.form.remember()
        self.session.train(job)
        self.panel.start()

    def use(self, name: str) -> None:
        """Choose a model in the Restore dock."""
        if restore_with(self.viewer, name):
            self.status.say(f"“{name}” is chosen in the Restore dock.")
        else:
            self.status.say(f"“{name}” is in the list of models.")

    def _lay_out(self) -> None:
        buttons = side_by_side(self.button, self.resume_button)
        self.settings = QWidget()
        asked = QVBoxLayout(self.settings)
        asked.setContentsMargins(0, 0, 0, 0)
        for widget in (lay_out(self.form.basic), self.camera, self.hint, self.advanced):
            asked.addWidget(widget)
        page = [self.settings, buttons, self.status, self.panel]
        self.column = Column(page, hidden=self.panel)
        self._fill(self.column)

    def _connect(self) -> None:
        self.resume_button.clicked.connect(self.resume)
        self.form.like_changed.connect(self._on_like)
        self.panel.use_asked.connect(self.use)
        self._soon.timeout.connect(self._show_result)

    def _on_form(self) -> None:
        self.hint.setText(EXPLAINED[self.form.images_kind])
        super()._on_form()
        self._set_buttons()

    def _on_like(self) -> None:
        try:
            image = self.form.like_image()
            self.camera.measure(None if image is None else self.form.layers.image(image))
        except BaryIRError as error:
            self.camera.complain(Problem.of(error).sentence)

    def _on_session(self) -> None:
        if self.session.run is not None:
            self.status.follow(self.session.run, progress_text(self.session))
        self._set_buttons()

    def _set_buttons(self) -> None:
        run = self.session.run
        self.settings.setVisible(run is None)  # they do not change a training that goes on
        self.resume_button.setVisible(run is None and self.form.can_resume)
        if run is None:
            self.button.setText("Train")
            self.button.setEnabled(self.form.problem() is None)
            return
        kept = self.session.history.best_step > 0
        self.button.setText("Cancel, keep the best" if kept else "Cancel")
        self.button.setEnabled(run.state != "cancelling")

    def _on_result(self, trained: Trained) -> None:
        self.panel.finish(trained)
        if not trained.stopped:
            self.form.propose_name()
        self.form.refresh_models()
        refresh_models(self.viewer)
        self.status.say(result_text(trained, self.session.history))
        # With the settings back above it, the result may be below the window's edge.
        self._soon.start(0)

    def _show_result(self) -> None:
        self.column.ensureWidgetVisible(self.panel, 0, 0)

    def _on_cancelled(self) -> None:
        more = " Resume goes on." if self.form.can_resume else ""
        self.status.say(
            "Cancelled; nothing was better than the starting model yet, so that nothing was "
            f"written.{more}"
        )


def refresh_models(viewer: ViewerModel) -> None:
    """Have the open docks offer the models that are there now; their choices stay."""
    for dock in _open_docks(viewer):
        if isinstance(dock, RestoreDock | DegradationDock):
            dock.form.refresh_models()


def restore_with(viewer: ViewerModel, model: str) -> bool:
    """Choose a model in the Restore dock, opening one if there is none; False without a window."""
    docks = [dock for dock in _open_docks(viewer) if isinstance(dock, RestoreDock)]
    opened = None if docks else open_dock(viewer, "Restore")
    if opened is not None:
        docks = [opened]
        active = viewer.layers.selection.active
        if active in opened.form.layer.choices:
            opened.form.layer.value = active
    for dock in docks:
        dock.form.refresh_models(model)
        frame = dock.parent()
        if frame is not None:
            frame.show()
            frame.raise_()
    return bool(docks)


def _open_docks(viewer: ViewerModel) -> list[Any]:
    window = getattr(viewer, "window", None)
    return list(getattr(window, "dock_widgets", {}).values())
