"""A line with the gain and offset of the camera, measured on a noisy image."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from napari.qt.threading import create_worker
from qtpy.QtWidgets import QLabel

from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.dock.torch_ahead import load_libraries
from napari_baryir.widgets.finetune.job import LayerImage, as_image


class _Measured(NamedTuple):
    number: int
    text: str


class CameraLine(QLabel):
    """Hidden unless there is an image to measure. Measures in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self.setWordWrap(True)
        self.setToolTip(
            "By photon transfer: the variance of the smoothest places grows along a line with "
            "their brightness. Training uses what is measured here."
        )
        self.hide()

    def measure(self, image: LayerImage | Path | None) -> None:
        """Measure an image; an earlier measurement is dropped."""
        self._number += 1
        self.setVisible(image is not None)
        if image is None:
            self.setText("")
            return
        self.setText("Measuring the camera's noise…")
        worker = create_worker(
            _measure, self._number, image, _start_thread=False, _ignore_errors=True
        )
        worker.returned.connect(self._on_measured)
        worker.start()

    def complain(self, sentence: str) -> None:
        """Say why nothing can be measured."""
        self._number += 1
        self.setText(sentence)
        self.show()

    def _on_measured(self, measured: _Measured) -> None:
        if measured.number == self._number:
            self.setText(measured.text)


def _measure(number: int, image: LayerImage | Path) -> _Measured:
    load_libraries()
    from napari_baryir.training.finetune.planes import in_words, measure_camera

    try:
        return _Measured(number, f"Camera: {in_words(measure_camera(as_image(image)))}.")
    except Exception as error:  # one that gets out would reach the user as a traceback
        return _Measured(number, Problem.of(error).sentence)
