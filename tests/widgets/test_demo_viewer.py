"""``napari-baryir demo --gui``: the samples as layers, the dock beside them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_baryir.commands.console import Voice
from napari_baryir.commands.demo import restore_sample
from napari_baryir.sample_data import fluorescence_stack, photo_rain

if TYPE_CHECKING:
    from napari import Viewer


@pytest.mark.parametrize("dock", [False, True])
def test_degraded_restored_and_truth_share_their_contrast(
    viewer: Viewer, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, dock: bool
) -> None:
    import napari

    from napari_baryir.widgets import demo

    docked: list[str] = []
    monkeypatch.setattr(napari, "Viewer", lambda **_: viewer)
    monkeypatch.setattr(demo, "has_dock", lambda: dock)
    monkeypatch.setattr(demo, "open_dock", lambda _, name: docked.append(name))
    quiet = Voice(argparse.Namespace(quiet=True, verbose=False))
    samples = [fluorescence_stack(shape=(2, 32, 40)), photo_rain()]
    results = [restore_sample(sample, str(tiny_weights), "cpu", quiet) for sample in samples]
    assert demo.show_samples(results, run=False) is viewer
    layers = {layer.name: layer for layer in viewer.layers}
    for result in results:
        name = result.sample.name
        shown = [layers[f"{name} {what}"] for what in ("degraded", "restored", "truth")]
        images = (result.sample.degraded, result.image, result.sample.clean)
        for layer, image in zip(shown, images, strict=True):
            np.testing.assert_array_equal(layer.data, image)
            assert layer.rgb == (image.ndim == 3 and image.shape[-1] == 3)
        assert shown[0].contrast_limits == shown[1].contrast_limits == shown[2].contrast_limits
    assert docked == (["Restore"] if dock else [])
