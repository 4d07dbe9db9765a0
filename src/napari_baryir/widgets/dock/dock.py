"""The base of all docks: controls, a button that starts and cancels, a status and an end."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QDockWidget,
    QFrame,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_baryir.errors import BaryIRError
from napari_baryir.version import page_address
from napari_baryir.widgets.dock.controls import lay_out
from napari_baryir.widgets.dock.problem import Problem, notify
from napari_baryir.widgets.dock.settings import PLUGIN, cache_folder, defaults
from napari_baryir.widgets.dock.status import StatusPanel, describe

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_baryir.widgets.dock.session import RunSession


class RunDock(QWidget):
    """A dock whose button starts a run of its session, and cancels it while it runs.

    A subclass makes its own widgets after ``super().__init__``, puts all of them into the dock with
    `_fill`, and ends its ``__init__`` with `_begin`.

    Parameters
    ----------
    viewer
        The viewer that the dock belongs to.
    form
        A `Form` with lists of controls, `basic` and `advanced`, and a `problem`.
    session
        A `RunSession`.
    word
        Text of the button while nothing runs.
    """

    form: Any
    session: Any
    page = ""
    """The page of the documentation that describes the dock."""

    def __init__(
        self,
        viewer: ViewerModel,
        form: Callable[[ViewerModel], Any],
        session: Callable[[ViewerModel], RunSession],
        word: str,
    ) -> None:
        super().__init__()
        cache_folder.apply(defaults())  # before the form lists the models in it
        self.viewer = viewer
        self.form = form(viewer)
        self.session = session(viewer)
        self.status = StatusPanel()
        self.button = QPushButton(word)
        self.button.setObjectName(word.lower())
        self.advanced = _folded(lay_out(self.form.advanced))
        self.help = QToolButton()
        self.help.setText("?")
        self.help.setToolTip("What this dock does, in the browser.")
        self.help.clicked.connect(self._open_page)
        self._word = word
        self._docked = False
        # Later: napari gives the dock its frame before it puts the frame into the window.
        self._framed = QTimer(self)
        self._framed.setSingleShot(True)
        self._framed.timeout.connect(self._join_siblings)
        self._closers: list[Callable[[], None]] = [self.form.close, self.session.close]
        """Called once when the dock goes; no methods of the dock, which may be gone."""

    def start(self) -> None:
        """Start a run, as the button does; a `BaryIRError` is shown as a sentence."""
        self._try(self._start)

    def _try(self, start: Callable[[], object]) -> None:
        try:
            start()
        except BaryIRError as error:
            self._complain(Problem.of(error))

    def _start(self) -> None:
        """Start a run of what the form asks for."""
        raise NotImplementedError

    def _on_result(self, result: Any) -> None:
        """Show the result of a run."""
        raise NotImplementedError

    def _fill(self, content: QWidget) -> None:
        """Make a widget fill the dock."""
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(content)
        if isinstance(content, QTabWidget):
            content.setCornerWidget(self.help)
        else:
            outer.addWidget(self.help, alignment=Qt.AlignmentFlag.AlignRight)

    def _open_page(self) -> None:
        QDesktopServices.openUrl(QUrl(page_address(self.page)))

    def _begin(self) -> None:
        """Follow the controls and the session from now on."""
        self.button.clicked.connect(self._on_button)
        self.form.changed.connect(self._on_form)
        self.session.changed.connect(self._on_session)
        self.session.failed.connect(self.status.complain)
        self.session.cancelled.connect(self._on_cancelled)
        self.session.finished.connect(self._on_result)
        self.session.queue.changed.connect(self._on_session)
        self.destroyed.connect(functools.partial(_close, self._closers))
        self.form.refresh_layers()

    def changeEvent(self, event: Any) -> None:
        """Go away with the dock: napari deletes only the frame around this widget."""
        super().changeEvent(event)
        if event.type() != QEvent.Type.ParentChange:
            return
        if self.parent() is None and self._docked:
            _close(self._closers)
            self.deleteLater()
        self._docked = self.parent() is not None
        if self._docked:
            self._framed.start(0)

    def _join_siblings(self) -> None:
        """Open in a tab beside another dock of ours; napari would give each half of the height."""
        frame = self.parent()
        window = frame.parent() if isinstance(frame, QDockWidget) else None
        if not isinstance(window, QMainWindow) or frame.isFloating():
            return
        area = window.dockWidgetArea(frame)
        for other in window.findChildren(QDockWidget):
            if other is frame or not isinstance(other.widget(), RunDock):
                continue
            if other.isHidden() or other.isFloating() or window.dockWidgetArea(other) != area:
                continue
            if frame not in window.tabifiedDockWidgets(other):
                window.tabifyDockWidget(other, frame)
                frame.raise_()
            return

    def _on_button(self) -> None:
        if self.session.run is None:
            self.start()
        else:
            self.session.cancel()

    def _on_form(self) -> None:
        if self.session.run is not None:
            return
        problem = self.form.problem()
        self.button.setEnabled(problem is None)
        self.status.give_reason(problem)

    def _on_session(self) -> None:
        run = self.session.run
        self.button.setText(self._word if run is None else "Cancel")
        if run is not None:
            self.button.setEnabled(run.state != "cancelling")
            self.status.follow(run, describe(run, self.session.queue.ahead_of(run)))
        else:
            self._on_form()  # its layer may have gone since

    def _on_cancelled(self) -> None:
        self.status.say("Cancelled; nothing was added.")

    def _complain(self, problem: Problem) -> None:
        notify(problem)
        self.status.complain(problem)


class Column(QScrollArea):
    """Widgets below each other, scrolled up and down only, as wide as they need in any font.

    There is room for `hidden`, too, one of the widgets that is not shown yet.
    """

    def __init__(self, widgets: Sequence[QWidget], hidden: QWidget) -> None:
        super().__init__()
        self._hidden = hidden
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)
        for widget in widgets:
            layout.addWidget(widget)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(inner)
        self._widen()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Follow the content, which grows with napari's font."""
        if event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self._widen()
        return bool(super().eventFilter(watched, event))

    def _widen(self) -> None:
        inner = self.widget()
        widest = max(each.minimumSizeHint().width() for each in (inner, self._hidden))
        margins = 2 * inner.layout().contentsMargins().left()
        self.setMinimumWidth(widest + margins + self.verticalScrollBar().sizeHint().width())


def open_dock(viewer: Any, name: str) -> Any:
    """Show one of our docks, by its display name in the manifest; None without a window."""
    window = getattr(viewer, "window", None)
    if window is None:
        return None
    frame, dock = window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    frame.setWindowTitle(f"{name} (BaryIR)")  # as from the menu
    frame.show()
    frame.raise_()
    return dock


def _folded(page: QWidget) -> QCollapsible:
    """Return a page that is folded away until the user opens it."""
    advanced = QCollapsible("Advanced")
    advanced.setDuration(0)
    advanced.setCollapsedIcon("▸")
    advanced.setExpandedIcon("▾")
    advanced.addWidget(page)
    return advanced


def _close(closers: list[Callable[[], None]], *_: object) -> None:
    """End what outlives the dock's widgets: the run, and listening to the viewer."""
    while closers:
        closers.pop()()
