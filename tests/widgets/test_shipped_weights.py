"""A user's way: open a picture, press Restore, get what the shipped weights make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_baryir import restore
from napari_baryir.sample_data import dark_photo

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock


def test_a_sample_is_restored_by_the_shipped_weights(dock: RestoreDock, qtbot: QtBot) -> None:
    sample = dark_photo()
    image = np.ascontiguousarray(sample.degraded[:160, :160])
    source = dock.viewer.add_image(image, rgb=True, name="dark")
    dock.form.model.value = "auto"
    dock.form.tile.value = "auto"
    dock.form.overlap.value = "auto"
    dock.button.click()
    with qtbot.waitSignal(dock.session.run.ended):
        pass
    (result,) = (layer for layer in dock.viewer.layers if layer is not source)
    assert result.metadata["napari_baryir"]["model"] == "photo-compact"
    np.testing.assert_array_equal(result.data, restore(image, axes="YXS", device="cpu").image)
    clean = sample.clean[:160, :160].astype(float)
    before = np.abs(image - clean).mean()
    assert np.abs(result.data - clean).mean() < before / 3
