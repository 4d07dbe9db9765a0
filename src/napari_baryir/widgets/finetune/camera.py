"""A line with the gain and offset of the camera, measured on a noisy image."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari.qt.threading import create_worker
from qtpy.QtWidgets import QLabel

from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.dock.steps import load_libraries
from napari_baryir.widgets.finetune.job import LayerImage, as_image


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
        create_worker(_measure, image, _connect={"returned": partial(self._show, self._number)})

    def complain(self, sentence: str) -> None:
        """Say why nothing can be measured."""
        self._number += 1
        self.setText(sentence)
        self.show()

    def _show(self, number: int, text: str) -> None:
        if number == self._number:
            self.setText(text)


def _measure(image: LayerImage | Path) -> str:
    load_libraries()
    from napari_baryir.training.finetune.planes import in_words, measure_camera

    try:
        return f"Camera: {in_words(measure_camera(as_image(image)))}."
    except Exception as error:  # one that gets out would reach the user as a traceback
        return Problem.of(error).sentence
