"""The Fine-tune dock: teach a model one's own images, watch it learn, and use it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_baryir.errors import BaryIRError, InputError
from napari_baryir.widgets.errors import Problem, notify
from napari_baryir.widgets.finetune_camera import CameraLine
from napari_baryir.widgets.finetune_form import FinetuneForm
from napari_baryir.widgets.finetune_job import Trained
from napari_baryir.widgets.finetune_panel import FinetunePanel
from napari_baryir.widgets.finetune_session import FinetuneSession, training_queue
from napari_baryir.widgets.finetune_status import FinetuneStatus, result_text
from napari_baryir.widgets.form_parts import lay_out
from napari_baryir.widgets.open_docks import refresh_models, restore_with
from napari_baryir.widgets.settings import cache_folder, defaults

if TYPE_CHECKING:
    from napari.components import ViewerModel


class FinetuneDock(QWidget):
    """Fine-tune a model on layers or folders.

    Parameters
    ----------
    napari_viewer
        napari fills it in.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        cache_folder.apply(defaults())
        self.viewer = napari_viewer
        self.form = FinetuneForm(napari_viewer)
        self.session = FinetuneSession()
        self.status = FinetuneStatus()
        self.panel = FinetunePanel(self.session)
        self.camera = CameraLine()
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.button = QPushButton("Train")
        self.button.setObjectName("train")
        self.resume_button = QPushButton("Resume")
        self.resume_button.setToolTip(
            "Go on with the training of that name that was stopped, with its own settings."
        )
        self._docked = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._lay_out()
        self._connect()
        self.form.adapt()
        self._on_form()
        self._on_like()

    def train(self, *, resume: bool = False) -> None:
        """Do what the Train button does, or the Resume button."""
        try:
            problem = self.form.problem()
            if problem is not None and not resume:
                raise InputError(problem.rstrip("."))
            job = self.form.job(resume=resume)
            self.form.remember()
            self.session.train(job)
            self.panel.start()
        except BaryIRError as error:
            told = Problem.of(error)
            notify(told)
            self.status.complain(told)

    def use(self, name: str) -> None:
        """Choose a model in the Restore dock."""
        if restore_with(self.viewer, name):
            self.status.say(f"“{name}” is chosen in the Restore dock.")
        else:
            self.status.say(f"“{name}” is in the list of models.")

    def _lay_out(self) -> None:
        advanced = QCollapsible("Advanced")
        advanced.setDuration(0)
        advanced.setCollapsedIcon("▸")
        advanced.setExpandedIcon("▾")
        advanced.addWidget(lay_out(self.form.advanced))
        self.advanced = advanced
        buttons = QWidget()
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.button, 2)
        row.addWidget(self.resume_button, 1)
        self.settings = QWidget()
        asked = QVBoxLayout(self.settings)
        asked.setContentsMargins(0, 0, 0, 0)
        for widget in (lay_out(self.form.basic), self.camera, self.hint, advanced):
            asked.addWidget(widget)
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)
        for widget in (self.settings, buttons, self.status, self.panel):
            layout.addWidget(widget)
        self.scroll_area = scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        widest = max(inner.minimumSizeHint().width(), self.panel.minimumSizeHint().width())
        margins = 2 * layout.contentsMargins().left()
        scroll.setMinimumWidth(widest + margins + scroll.verticalScrollBar().sizeHint().width())

    def _connect(self) -> None:
        self.button.clicked.connect(self._on_button)
        self.resume_button.clicked.connect(self._on_resume)
        self.form.changed.connect(self._on_form)
        self.form.like_changed.connect(self._on_like)
        self.session.changed.connect(self._on_session)
        self.session.failed.connect(self.status.complain)
        self.session.cancelled.connect(self._on_cancelled)
        self.session.finished.connect(self._on_trained)
        self.panel.use_asked.connect(self.use)
        self._soon.timeout.connect(self._show_result)
        training_queue().changed.connect(self._on_session)
        self.destroyed.connect(functools.partial(_let_go, self.form, self.session))

    def changeEvent(self, event: Any) -> None:
        """Go away with the dock: napari deletes only the frame around this widget."""
        super().changeEvent(event)
        if event.type() != QEvent.Type.ParentChange:
            return
        if self.parent() is None and self._docked:
            self.session.close()
            self.deleteLater()
        self._docked = self.parent() is not None

    def _on_button(self) -> None:
        if self.session.run is None:
            self.train()
        else:
            self.session.cancel()

    def _on_resume(self) -> None:
        self.train(resume=True)

    def _on_form(self) -> None:
        self.hint.setText(self.form.explanation)
        if self.session.run is None:
            self._set_buttons()
            self.status.give_reason(self.form.problem())

    def _on_like(self) -> None:
        try:
            image = self.form.like_image()
            self.camera.measure(None if image is None else self.form.layers.image(image))
        except BaryIRError as error:
            self.camera.complain(Problem.of(error).sentence)

    def _on_session(self) -> None:
        run = self.session.run
        if run is not None:
            self.status.follow_training(self.session)
        self._set_buttons()

    def _set_buttons(self) -> None:
        run = self.session.run
        self.settings.setVisible(run is None)  # they mean nothing to a training that goes on
        self.resume_button.setVisible(run is None and self.form.can_resume)
        if run is None:
            self.button.setText("Train")
            self.button.setEnabled(self.form.problem() is None)
            return
        kept = self.session.history.best_step > 0
        self.button.setText("Cancel, keep the best" if kept else "Cancel")
        self.button.setEnabled(run.state != "cancelling")

    def _on_trained(self, trained: Trained) -> None:
        self.panel.finish(trained)
        if not trained.stopped:
            self.form.propose_name()
        self.form.refresh_models()
        refresh_models(self.viewer)
        self.status.say(result_text(trained, self.session.history))
        # With the settings back above it, the result may be below the window's edge.
        self._soon.start(0)

    def _show_result(self) -> None:
        self.scroll_area.ensureWidgetVisible(self.panel, 0, 0)

    def _on_cancelled(self) -> None:
        more = " Resume goes on." if self.form.can_resume else ""
        self.status.say(
            "Cancelled; nothing was better than the starting model yet, so that nothing was "
            f"written.{more}"
        )


def _let_go(form: FinetuneForm, session: FinetuneSession, *_: object) -> None:
    """End what outlives the dock's widgets: the training, and listening to the viewer."""
    form.close()
    session.close()
