"""What the Restore dock says of what it restored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from calibrated_networks import calibrated_network
from napari_baryir import estimate_degradation
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import save_weights
from napari_baryir.widgets.dock.run import run_queue
from napari_baryir.widgets.estimate.job import Estimated
from napari_baryir.widgets.estimate.maps import PlaneSummary

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


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"noise": 0.6, "clean": 0.4}, "What was wrong: noise 60 %; severity 0.30 of 1."),
        ({"clean": 0.9, "noise": 0.1}, "The original looked clean (90 %)."),
    ],
)
def test_line_says_what_was_wrong_once(
    calibrated: RestoreDock,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    shares: dict[str, float],
    said: str,
) -> None:
    looked_at = []

    def steps(job: Any) -> Any:
        looked_at.append(np.array(job.data))
        return maps_saying(0.3, **shares)
        yield

    monkeypatch.setattr("napari_baryir.widgets.restore.summary_line.estimate_steps", steps)
    calibrated.viewer.add_image(STACK[0])
    restore(calibrated, qtbot)
    qtbot.waitUntil(lambda: calibrated.summary.run is None)
    assert said in calibrated.summary.text()
    assert "practically unchanged" not in calibrated.summary.text()
    assert len(looked_at) == 1
    np.testing.assert_array_equal(looked_at[0], STACK[0])


def test_line_says_that_nothing_was_done_about_it(
    calibrated: RestoreDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_baryir.restoration.results.LITTLE", 1e9)
    calibrated.viewer.add_image(STACK[0])
    restore(calibrated, qtbot)
    qtbot.waitUntil(lambda: calibrated.summary.run is None)
    assert "The result is practically unchanged." in calibrated.summary.text()


def test_line_says_it_of_the_strength_in_view(calibrated: RestoreDock, qtbot: QtBot) -> None:
    calibrated.viewer.add_image(STACK[0])
    result = restore(calibrated, qtbot)
    qtbot.waitUntil(lambda: calibrated.summary.run is None)
    change = result.layer.metadata["napari_baryir"]["change"]
    assert change > 0.01, "the test needs a result that differs"
    for strength, unchanged in ((1.0, False), (0.004 / change, True), (0.006 / change, False)):
        calibrated.session.comparison.set_strength(strength)
        assert ("practically unchanged" in calibrated.summary.text()) is unchanged


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
