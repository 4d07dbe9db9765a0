"""What the Restore dock says of what it restored."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("napari")

from calibrated_networks import calibrated_network
from napari_baryir import estimate_degradation
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import save_weights
from napari_baryir.widgets.dock.run import run_queue
from napari_baryir.widgets.estimate.job import Estimated
from napari_baryir.widgets.estimate.maps import PlaneSummary
from napari_baryir.widgets.restore.summary_line import RENEW_MS

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_baryir.widgets.restore.dock import RestoreDock

STACK = np.random.default_rng(0).integers(0, 4000, (3, 40, 40), np.uint16)


@pytest.fixture
def calibrated(dock: RestoreDock) -> RestoreDock:
    save_weights(calibrated_network(), model_folder() / "calibrated.safetensors")
    dock.form.refresh_models("calibrated")
    return dock


def restore(dock: RestoreDock, qtbot: QtBot) -> Any:
    with qtbot.waitSignal(dock.session.finished) as finished:
        dock.button.click()
    return finished.args[0]


@pytest.mark.parametrize("axes", ["ZYX", "CYX"])
def test_line_tells_what_was_wrong_with_the_plane_in_view(
    calibrated: RestoreDock, qtbot: QtBot, axes: str
) -> None:
    calibrated.viewer.add_image(STACK)
    calibrated.form.axes.value = axes
    calibrated.viewer.dims.set_current_step(0, 2)
    result = restore(calibrated, qtbot)
    assert not calibrated.summary.isHidden()
    qtbot.waitUntil(lambda: calibrated.summary.run is None)
    # Channels have an intensity map each; planes of a stack share one.
    intensity = result.layer.metadata["napari_baryir"]["settings"]["intensity"][-1]
    estimate = estimate_degradation(
        STACK[2], axes="YX", model="calibrated", device="cpu", intensity=intensity
    )
    wrong = {k: v for k, v in estimate.summary[0].items() if k != "clean" and v >= 0.05}
    said = calibrated.summary.text()
    for domain, share in wrong.items():
        assert f"{domain} {round(100 * share)} %" in said
    assert f"severity {estimate.severities[0]:.2f}" in said


def maps_saying(severity: float, **shares: float) -> Any:
    """An estimate of one plane with this summary."""
    summary = PlaneSummary(shares, severity)
    maps: Any = SimpleNamespace(outer=(), summary=lambda _: summary)
    estimate: Any = None
    return Estimated(estimate, maps, ())


def test_what_is_left_can_be_restored_again(
    calibrated: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = cycle([maps_saying(0.4, noise=1.0), maps_saying(0.5, haze=0.9, clean=0.1)])
    looked_at = []

    def steps(job: Any) -> Any:
        looked_at.append(np.array(job.data))
        return next(told)
        yield

    monkeypatch.setattr("napari_baryir.widgets.restore.summary_line.estimate_steps", steps)
    source = calibrated.viewer.add_image(STACK[0], name="cells", axis_labels=("y", "x"))
    result = restore(calibrated, qtbot)
    qtbot.waitUntil(lambda: calibrated.summary.run is None)
    text = calibrated.summary.text()
    assert "What was wrong: noise 100 %; severity 0.40" in text
    assert "Came to light: haze 90 %; severity 0.50" in text
    np.testing.assert_array_equal(looked_at[0], STACK[0])
    np.testing.assert_array_equal(looked_at[1], result.layer.data)
    calibrated.form.region.value = "view"
    with qtbot.waitSignal(calibrated.session.finished) as finished:
        calibrated.summary.linkActivated.emit("again")
    second = finished.args[0]
    assert second.source is result.layer
    assert [layer.name for layer in calibrated.viewer.layers] == [
        "cells",
        "cells restored",
        "cells restored again",
    ]
    assert second.layer.data.shape == source.data.shape
    assert calibrated.form.region.value == "view"
    assert calibrated.form.layer.value is source


def test_what_is_left_is_that_of_the_strength(
    calibrated: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []

    def steps(job: Any) -> Any:
        looked_at.append(np.array(job.data))
        return maps_saying(0.4 - len(looked_at) / 100, noise=1.0)
        yield

    monkeypatch.setattr("napari_baryir.widgets.restore.summary_line.estimate_steps", steps)
    calibrated.viewer.add_image(STACK[0])
    result = restore(calibrated, qtbot)
    qtbot.waitUntil(lambda: len(looked_at) == 2)
    qtbot.waitUntil(lambda: calibrated.summary.run is None)
    assert "Still there: noise 100 %; severity 0.38" in calibrated.summary.text()
    calibrated.form.strength.value = 0.5
    assert "Still there" not in calibrated.summary.text()
    assert "What was wrong" in calibrated.summary.text()
    qtbot.waitUntil(lambda: len(looked_at) == 3)
    qtbot.waitUntil(lambda: calibrated.summary.run is None)
    assert "Still there: noise 100 %; severity 0.37" in calibrated.summary.text()
    np.testing.assert_array_equal(looked_at[2], result.layer.data)
    assert (looked_at[2] != looked_at[1]).any()
    calibrated.form.strength.value = 0
    qtbot.wait(RENEW_MS + 200)
    assert len(looked_at) == 3
    assert "again" not in calibrated.summary.text()


def test_again_into_a_file_has_a_name_of_its_own(tmp_path: Path) -> None:
    from napari_baryir.widgets.restore.session import free_name

    written = tmp_path / "cells.ome.zarr"
    assert free_name(written) == tmp_path / "cells-again.ome.zarr"
    (tmp_path / "cells-again.ome.zarr").mkdir()
    assert free_name(written) == tmp_path / "cells-again-2.ome.zarr"


def test_nothing_is_offered_for_what_is_clean(
    calibrated: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([maps_saying(0.4, noise=1.0), maps_saying(0.05, noise=0.6, clean=0.4)])

    def steps(_: Any) -> Any:
        return next(told)
        yield

    monkeypatch.setattr("napari_baryir.widgets.restore.summary_line.estimate_steps", steps)
    calibrated.viewer.add_image(STACK[0])
    restore(calibrated, qtbot)
    qtbot.waitUntil(lambda: calibrated.summary.run is None)
    assert "Another run is unlikely to help." in calibrated.summary.text()
    assert "again" not in calibrated.summary.text()


def test_line_is_hidden_for_weights_without_calibration(dock: RestoreDock, qtbot: QtBot) -> None:
    dock.viewer.add_image(STACK)
    restore(dock, qtbot)
    assert dock.summary.isHidden()
    assert run_queue().current is None


def test_line_gives_way_to_the_next_run_and_goes_with_the_result(
    calibrated: RestoreDock, qtbot: QtBot
) -> None:
    source = calibrated.viewer.add_image(STACK)
    restore(calibrated, qtbot)
    looking = calibrated.summary.run
    assert looking is not None
    calibrated.button.click()
    assert looking.state in ("cancelling", "cancelled")
    assert calibrated.summary.isHidden()
    with qtbot.waitSignal(calibrated.session.finished):
        pass
    qtbot.waitUntil(lambda: calibrated.summary.run is None)
    calibrated.viewer.layers.remove(source)
    assert calibrated.summary.isHidden()
