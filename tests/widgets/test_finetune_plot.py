"""The plot, the pictures and the sentences of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_baryir.training.finetune import YOURS, Comparison, FinetuneProgress
from napari_baryir.training.validation import Scores
from napari_baryir.widgets.finetune.history import History

STEPS = 400


def scores(yours: float, noise: float = 30.0) -> Scores:
    untouched = {YOURS: 18.0, "noise": 20.0}
    return Scores({YOURS: yours, "noise": noise, "clean": 40.0}, untouched, 1.0, 0.1)


def sample(shade: float = 0.5, side: int = 64, clean: bool = True) -> Comparison:
    ramp = np.tile(np.linspace(0, 1, side, dtype=np.float32)[None, :, None], (side, 1, 3))
    after = ramp + np.float32(0.1 * shade)
    return Comparison(
        ramp + np.float32(0.2), ramp + np.float32(0.1), after, ramp if clean else None
    )


def news(step: int, validation: Scores | None = None, best_step: int = 0, best: float = 20.0):
    terms = {"fidelity": -5.0 - step / STEPS, "contrast": 1.0} if step else {}
    shown = sample() if validation is not None else None
    return FinetuneProgress(
        step, STEPS, 2.0 * step, terms, validation, shown, best_step, scores(20.0), scores(best)
    )


def trained() -> History:
    history = History(validate_every=100)
    history.add(news(0, scores(20.0)))
    for step in range(1, 301):
        validated = step % 100 == 0
        best = step // 100 * 100
        history.add(
            news(step, scores(20 + step / 100) if validated else None, best, 20 + best / 100)
        )
    return history


def test_history_keeps_what_is_drawn() -> None:
    history = trained()
    assert history.scores == {0: 20.0, 100: 21.0, 200: 22.0, 300: 23.0}
    assert len(history.losses) == 300
    assert history.gain == pytest.approx(3.0)
    assert history.seconds_left == pytest.approx(200.0)
    assert history.sample_step == 300
    assert history.kept_sample is history.sample


def test_time_left_counts_from_where_a_run_was_resumed() -> None:
    history = History()
    history.add(news(200))
    assert history.seconds_left is None
    history.add(news(201))
    assert history.seconds_left == pytest.approx(2.0 * (STEPS - 201))


def test_the_log_of_a_stopped_run_is_taken_up(tmp_path: Path) -> None:
    from napari_baryir.training.log import TrainingLog

    log = TrainingLog(tmp_path / "log.csv", 0)
    log.write(1, {"fidelity": -4.0, "contrast": 1.0}, None)
    log.write(2, {"fidelity": -6.0, "contrast": 1.0}, scores(21.0))
    history = History()
    history.read_log(tmp_path / "log.csv")
    assert (history.losses, history.scores) == ({2: -5.0}, {2: 21.0})
    other = tmp_path / "other.csv"
    other.write_text("no,log\n1,2\n")
    for path in (other, tmp_path / "none.csv"):
        history.read_log(path)
    assert history.scores == {2: 21.0}


def test_words_tell_gain_loss_and_why_nothing_is_kept() -> None:
    from napari_baryir.widgets.finetune.panel import gain_text

    history = trained()
    assert "step 300, 23.00 dB" in gain_text(history)
    assert "+3.00 dB" in gain_text(history)
    assert "Nothing that it knew is lost." in gain_text(history)
    history.best = scores(23.0, noise=29.8).restored
    assert "noise lost most: 0.20 dB" in gain_text(history)
    assert "scored higher" not in gain_text(history)
    history.latest = scores(23.5, noise=20.0).restored
    assert "scored higher, but lost too much" in gain_text(history)
    forgetful = History()
    forgetful.add(news(0, scores(20.0)))
    assert "Nothing better than the starting model yet (20.00 dB" in gain_text(forgetful)
    forgetful.add(news(100, scores(22.0, noise=25.0)))
    assert "gain 2.00 dB" in gain_text(forgetful)
    assert "noise loses 5.00 dB" in gain_text(forgetful)


def picture(widget: Any) -> np.ndarray:
    """What a widget paints, (H, W, 3)."""
    image = widget.grab().toImage()
    image = image.convertToFormat(image.Format.Format_RGB888)
    bits = image.constBits()
    if hasattr(bits, "setsize"):  # PyQt
        bits.setsize(image.sizeInBytes())
    rows = np.frombuffer(bytes(bits), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)


@pytest.fixture
def plot(qtbot: Any) -> Any:
    from napari_baryir.widgets.finetune.plot import FinetunePlot

    made = FinetunePlot()
    qtbot.addWidget(made)
    made.resize(300, 210)
    return made


def test_the_plot_draws_scores_above_and_loss_below(plot: Any) -> None:
    from qtpy.QtGui import QColor

    from napari_baryir.widgets.finetune.plot import BEST, LOSS, SCORE

    blank = picture(plot)
    plot.show_history(trained())
    drawn = picture(plot)
    assert (drawn != blank).any()
    above, below = plot.areas()

    def rows(color: str) -> np.ndarray:
        wanted = np.array(QColor(color).getRgb()[:3])
        near = np.abs(drawn.astype(int) - wanted).max(axis=2) < 25
        return np.flatnonzero(near.any(axis=1))

    for color, area in ((SCORE, above), (BEST, above), (LOSS, below)):
        found = rows(color)
        assert found.size
        assert area.top() - 9 <= found.min()
        assert found.max() <= area.bottom() + 9


def test_the_right_end_keeps_still_for_a_while(plot: Any) -> None:
    history = History(steps=10_000, validate_every=100)
    ends = set()
    for step in range(1, 2000, 50):
        history.step = step
        plot.show_history(history)
        assert plot.last_step >= step
        ends.add(plot.last_step)
    assert ends == {400, 800, 1600, 3200}
    history.step = history.steps
    assert plot.last_step == 10_000


def test_the_plot_tells_of_the_nearest_validation(plot: Any) -> None:
    assert "never trained on" in plot.describe(0)
    plot.show_history(trained())
    told, loss = plot.describe(120).splitlines()
    assert told == "step 100: 21.00 dB, +1.00 dB over the starting model"
    assert loss.startswith("loss -5.2")
    assert "this one is kept" in plot.describe(400)


@pytest.fixture
def preview(qtbot: Any) -> Any:
    from napari_baryir.widgets.finetune.preview import FinetunePreview

    made = FinetunePreview()
    qtbot.addWidget(made)
    made.resize(300, made.heightForWidth(300))
    return made


def test_pictures_have_captions_with_what_can_be_known(preview: Any) -> None:
    preview.show_sample(sample(), "now, step 100")
    names = preview.captions
    assert names[1] == "clean"
    assert names[2].startswith("starting model 2")
    assert names[3].startswith("now, step 100 2")
    preview.show_sample(sample(clean=False), "now, step 100")
    assert preview.captions[3] == "now, step 100"


def test_all_pictures_show_the_same_place_with_the_same_contrast(preview: Any) -> None:
    preview.resize(300, preview.heightForWidth(300))
    shown = sample(shade=1.0)  # after equals before
    preview.show_sample(shown, "now")
    preview.resize(300, preview.heightForWidth(300))
    drawn = picture(preview)
    parts = [
        drawn[int(p.top()) + 1 : int(p.top()) + 60, int(p.left()) + 2 : int(p.left()) + 100]
        for p in preview.frames()
    ]
    assert np.ptp(parts[1]) > 50
    np.testing.assert_allclose(parts[2].astype(int), parts[3], atol=2)
    assert parts[0].mean() > parts[2].mean() > parts[1].mean()


def test_zooming_and_moving_stay_inside_the_image(preview: Any) -> None:
    from qtpy.QtCore import QPointF

    preview.show_sample(sample(side=256), "now")
    part = preview.shown_part()
    assert part.width() == pytest.approx(preview.frames()[0].width())  # pixel for pixel
    preview.centre = QPointF(2.0, -1.0)
    preview._keep_inside()
    part = preview.shown_part()
    assert part.right() == pytest.approx(256)
    assert part.top() == pytest.approx(0)
    preview.mouseDoubleClickEvent(None)
    assert preview.shown_part().width() == pytest.approx(256, rel=0.1)
    again = preview.centre
    preview.show_sample(sample(side=256), "later")
    assert preview.centre == again  # a new validation does not move what is looked at


def test_one_large_photograph_keeps_its_range_and_grey_images_are_stretched() -> None:
    from napari_baryir.widgets.finetune.preview import limits_of

    grey = sample()
    low, high = limits_of(grey)
    assert 0 <= low < 0.05
    assert 0.95 < high <= 1
    coloured = Comparison(*(a * np.array([1, 0.5, 0.2], np.float32) for a in grey[:3]), grey.clean)
    assert limits_of(coloured) == (0.0, 1.0)
