"""A validation image before and after: the same part four times, to zoom and to move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QTextOption
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_baryir.widgets.dock.controls import faint

if TYPE_CHECKING:
    from napari_baryir.training.finetune.tuning import Comparison

GAP, CAPTION = 6, 18
"""Pixels between the pictures, and above each."""
MOST_ZOOM = 16.0
"""Screen pixels per image pixel."""
DARK, BRIGHT = 0.2, 99.0
"""Percentiles of the range that is shown of grey images; all four share it."""
NO_CLEAN = "There is no clean image: judge by eye."


class FinetunePreview(QWidget):
    """Four pictures in two rows: degraded and clean, the starting model's and the trained one's.

    The wheel zooms, dragging moves, a double click shows the whole, in all four.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pictures: list[tuple[str, str, QImage | None]] = []
        self._size = (0, 0)
        self.zoom: float | None = None
        """Screen pixels per image pixel; None: as large as the whole image fits."""
        self.centre = QPointF(0.5, 0.5)
        """Centre of the shown part, as shares of width and height."""
        self._held: QPointF | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self.setToolTip("Wheel: zoom. Drag: move. Double click: the whole image, or 1 to 1.")

    def show_sample(self, sample: Comparison, after: str) -> None:
        """Show a sample; `after` is the caption of the learnt picture."""
        arrays = [sample.degraded, sample.clean, sample.before, sample.after]
        names = ["your image", "clean", "starting model", after]
        limits = limits_of(sample)
        self._pictures = [
            (name, _score(array, sample.clean), None if array is None else _image(array, limits))
            for name, array in zip(names, arrays, strict=True)
        ]
        size = (sample.degraded.shape[1], sample.degraded.shape[0])
        if size != self._size:
            self._size, self.centre, self.zoom = size, QPointF(0.5, 0.5), 1.0
        self.updateGeometry()
        self.update()

    @property
    def captions(self) -> list[str]:
        """The names and scores of the pictures."""
        return [f"{name} {score}".strip() for name, score, _ in self._pictures]

    def sizeHint(self) -> QSize:
        """Two rows of squares."""
        return QSize(260, self.heightForWidth(260))

    def heightForWidth(self, width: int) -> int:
        """Return the height of two pictures of half the width."""
        columns, rows = self._size if all(self._size) else (1, 1)
        side = (width - GAP) / 2
        return int(2 * (CAPTION + side * min(rows / columns, 1.25)) + GAP)

    def hasHeightForWidth(self) -> bool:
        """Pictures keep their shape."""
        return True

    def frames(self) -> list[QRectF]:
        """Return where the four pictures are."""
        width = (self.width() - GAP) / 2
        height = (self.height() - GAP) / 2 - CAPTION
        return [
            QRectF(x * (width + GAP), CAPTION + y * (height + GAP + CAPTION), width, height)
            for y in (0, 1)
            for x in (0, 1)
        ]

    def shown_part(self) -> QRectF:
        """Return the part of the images that is shown, in their pixels."""
        frame, (columns, rows) = self.frames()[0], self._size
        scale = self._scale(frame)
        width, height = frame.width() / scale, frame.height() / scale
        x, y = self.centre.x() * columns, self.centre.y() * rows
        return QRectF(x - width / 2, y - height / 2, width, height)

    def _scale(self, frame: QRectF) -> float:
        columns, rows = self._size
        whole = min(frame.width() / columns, frame.height() / rows)
        return float(max(whole if self.zoom is None else self.zoom, whole, 1e-3))

    def paintEvent(self, _: Any) -> None:
        """Draw the pictures with their captions."""
        if not self._pictures:
            return
        painter = QPainter(self)
        text = self.palette().color(self.foregroundRole())
        part = self.shown_part()
        for frame, (name, score, image) in zip(self.frames(), self._pictures, strict=True):
            above = QRectF(frame.left(), frame.top() - CAPTION, frame.width(), CAPTION - 2)
            painter.setPen(text)
            shown = self.fontMetrics().elidedText(
                name, Qt.TextElideMode.ElideRight, int(frame.width())
            )
            painter.drawText(
                above, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, shown
            )
            if image is None:
                painter.setPen(QPen(faint(text, 90), 1, Qt.PenStyle.DashLine))
                painter.drawRect(frame.adjusted(0, 0, -1, -1))
                painter.setPen(text)
                centred = QTextOption(Qt.AlignmentFlag.AlignCenter)
                painter.drawText(frame.adjusted(8, 8, -8, -8), NO_CLEAN, centred)
            else:
                self._draw(painter, frame, image, part)
                _write(painter, frame, score)
        painter.end()

    def _draw(self, painter: QPainter, frame: QRectF, image: QImage, part: QRectF) -> None:
        """Draw the shown part; single pixels stay squares."""
        inside = part.intersected(QRectF(image.rect()))
        scale = frame.width() / part.width()
        target = QRectF(
            frame.left() + (inside.left() - part.left()) * scale,
            frame.top() + (inside.top() - part.top()) * scale,
            inside.width() * scale,
            inside.height() * scale,
        )
        # Averaged where several pixels share one of the screen's.
        smooth = QPainter.RenderHint.SmoothPixmapTransform
        painter.setRenderHint(smooth, scale < 1)
        painter.drawImage(target, image, inside)

    def wheelEvent(self, event: Any) -> None:
        """Zoom about the middle."""
        if not self._pictures:
            return
        scale = self._scale(self.frames()[0])
        factor = 1.25 ** (event.angleDelta().y() / 120)
        self.zoom = min(scale * factor, MOST_ZOOM)
        self._keep_inside()
        event.accept()

    def mousePressEvent(self, event: Any) -> None:
        """Take hold of the images."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._held = event.position()

    def mouseMoveEvent(self, event: Any) -> None:
        """Move the images with the mouse."""
        if self._held is None or not self._pictures:
            return
        moved = event.position() - self._held
        self._held = event.position()
        scale = self._scale(self.frames()[0])
        self.centre -= QPointF(moved.x() / scale / self._size[0], moved.y() / scale / self._size[1])
        self._keep_inside()

    def mouseReleaseEvent(self, _: Any) -> None:
        """Let go."""
        self._held = None

    def mouseDoubleClickEvent(self, _: Any) -> None:
        """Show the whole, or pixel for pixel."""
        self.zoom = 1.0 if self.zoom is None else None
        self._keep_inside()

    def _keep_inside(self) -> None:
        """Show nothing beyond the images, as far as they are large enough."""
        part, (columns, rows) = self.shown_part(), self._size
        x = _between(self.centre.x(), part.width() / columns / 2)
        y = _between(self.centre.y(), part.height() / rows / 2)
        self.centre = QPointF(x, y)
        self.update()


def limits_of(sample: Comparison) -> tuple[float, float]:
    """Return the values that are drawn black and white; percentiles for grey images."""
    best = sample.before if sample.clean is None else sample.clean
    if not np.array_equal(sample.degraded[..., 0], sample.degraded[..., 1]):
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(best, (DARK, BRIGHT)))
    return (low, high) if high > low else (low, low + 1.0)


def _between(share: float, half: float) -> float:
    return 0.5 if half >= 0.5 else min(max(share, half), 1 - half)


def _score(array: NDArray[np.float32] | None, clean: NDArray[np.float32] | None) -> str:
    """Return the PSNR in words; empty without a clean image."""
    if array is None or clean is None or array is clean:
        return ""
    error = float(np.square(np.clip(array, 0, 1) - np.clip(clean, 0, 1)).mean())
    return f"{-10 * np.log10(max(error, 1e-10)):.1f} dB"


def _write(painter: QPainter, frame: QRectF, text: str) -> None:
    """Write into the corner of a picture, readable on bright and dark ones."""
    if not text:
        return
    metrics = painter.fontMetrics()
    width, height = metrics.horizontalAdvance(text) + 8, metrics.height() + 2
    box = QRectF(frame.left(), frame.bottom() - height, width, height)
    painter.fillRect(box, QColor(0, 0, 0, 170))
    painter.setPen(QColor("white"))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def _image(array: NDArray[np.float32], limits: tuple[float, float]) -> QImage:
    """Return (H, W, 3) as a picture of Qt; a copy, so that nothing refers to the array."""
    low, high = limits
    values = np.clip((array - low) / (high - low), 0, 1)
    pixels = np.ascontiguousarray((255 * values + 0.5).astype(np.uint8))
    height, width = pixels.shape[:2]
    return QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
