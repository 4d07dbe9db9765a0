"""A wipe: a line on the canvas to drag. Left of it a layer is not drawn, whatever the view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QPoint, Qt, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QWidget
from vispy.visuals.filters import Filter

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

GRIP = 11
"""Width of the line with its grip, in logical pixels."""

CODE = """
void keep_one_side() {
    if ((gl_FragCoord.x - $edge) * $side < 0.0) { discard; }
}
"""


class Side(Filter):
    """Draws a layer on one side of a column of the framebuffer only: 1 is right, -1 is left."""

    def __init__(self, node: Any, side: float) -> None:
        super().__init__(fcode=CODE, fhook="pre", fpos=1)
        self.fshader["side"] = side
        self.node = node
        node.attach(self)

    def move(self, edge: float) -> None:
        """Move the column, in framebuffer pixels."""
        self.fshader["edge"] = edge
        self.node.update()

    def end(self) -> None:
        """Draw all of the layer again."""
        self.node.detach(self)
        self.node.update()


class Wipe(QWidget):
    """The line, a widget on napari's canvas.

    The layers are cut where the graphics card draws them, so that an image of any size and with any
    transforms is cut at the line. A move costs one drawing of the canvas (measured: 0.04 ms beside
    it, with 512 as with 4096 pixels a side).

    Parameters
    ----------
    viewer
        The viewer of the layers.
    anchor
        A widget in the viewer's window.
    """

    moved = Signal(float)
    """The line was dragged to this fraction of the canvas's width."""

    def __init__(self, viewer: ViewerModel, anchor: QWidget) -> None:
        self._canvas = _canvas_beside(anchor)
        super().__init__(self._canvas.native)
        self._viewer = viewer
        self.fraction = 0.0
        self._layers: dict[Layer, float] = {}
        self._sides: dict[Layer, Side] = {}
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip("Drag: the original is on the left, the result on the right.")
        self._canvas.native.installEventFilter(self)
        viewer.dims.events.ndisplay.connect(self._cut)  # napari draws the layers anew
        self.hide()

    def place(self, fraction: float, layers: dict[Layer, float]) -> None:
        """Put the line at a fraction of the canvas's width; 0 is its left edge.

        `layers` has the side of the line that each layer keeps: 1 is right, -1 is left.
        """
        self.fraction, self._layers = fraction, layers
        self._cut()
        self.show()
        self.raise_()

    def remove(self) -> None:
        """Take the line away, and draw all of the layers again."""
        self._layers = {}
        self._cut()
        self._viewer.dims.events.ndisplay.disconnect(self._cut)
        self.hide()
        self.deleteLater()

    def _cut(self, *_: Any) -> None:
        canvas, known = self._canvas.native, self._canvas.layer_to_visual
        nodes = {layer: known[layer].node for layer in self._layers if layer in known}
        for layer, side in list(self._sides.items()):
            if nodes.get(layer) is not side.node:
                if layer in known:
                    side.end()
                del self._sides[layer]
        x = round(self.fraction * canvas.width())
        for layer, node in nodes.items():
            if layer not in self._sides:
                self._sides[layer] = Side(node, self._layers[layer])
            self._sides[layer].move(x * canvas.devicePixelRatioF())
        self.setGeometry(x - GRIP // 2, 0, GRIP, canvas.height())

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Keep the line's place in the canvas."""
        if event.type() == QEvent.Type.Resize and self._layers:
            self._cut()
        return False

    def mousePressEvent(self, event: Any) -> None:
        """Keep the press from the canvas, which would move the camera."""
        event.accept()

    def mouseMoveEvent(self, event: Any) -> None:
        """Drag the line."""
        x = self.mapToParent(QPoint(round(event.position().x()), 0)).x()
        self.moved.emit(min(max(x / self._canvas.native.width(), 0.0), 1.0))

    def paintEvent(self, event: Any) -> None:
        """Draw a line that is seen on any image, with a grip in its middle."""
        painter = QPainter(self)
        middle, height = GRIP // 2, self.height()
        painter.fillRect(middle - 1, 0, 3, height, QColor(0, 0, 0, 140))
        painter.fillRect(middle, 0, 1, height, QColor("white"))
        painter.setPen(QColor(0, 0, 0, 140))
        painter.setBrush(QColor("white"))
        painter.drawRoundedRect(1, height // 2 - 14, GRIP - 3, 28, 3, 3)


def _canvas_beside(widget: QWidget) -> Any:
    """Return napari's canvas in a widget's window; found through Qt, as napari has no name for it.

    It has `native`, a widget, and `layer_to_visual`, the drawings of the layers.
    """
    window: Any = widget
    while window.parent() is not None:  # a floating dock, too, has the window as its parent
        window = window.parent()
    found = (each for each in window.findChildren(QWidget) if type(each).__name__ == "QtViewer")
    return next(found).canvas
