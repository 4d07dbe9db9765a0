"""How far the weights of a fine-tuning go back towards the ones that it started from."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from finetune_start import QUICKEST, keep_any, measured
from napari_baryir.steps import finish
from napari_baryir.training.finetune import FinetuneSettings, Pairs, iter_finetune
from napari_baryir.training.finetune import card as finetune_card
from napari_baryir.training.finetune.card import SHARES, choose_share
from napari_baryir.training.finetune.plan import YOURS
from napari_baryir.training.validation import Scores


class Line:
    """A run whose best weights gain 6 dB and lose `lost` on noise; both in step with the share."""

    def __init__(self, lost: float, bent: float = 1.0) -> None:
        self.lost, self.bent = lost, bent
        self.share = 1.0
        self.below = 0.0
        self.before = self.measure(0.0)
        self.best = self.measure(1.0)

    def best_model(self) -> float:
        return self.share

    def measure(self, share: float) -> Scores:
        scores = {
            YOURS: 20 + 6 * share**self.bent - self.below * (share > 0),
            "noise": 30 - self.lost * share,
            "clean": 40.0,
        }
        return Scores(scores, {}, 0.0, 0.0)


def chosen(line: Line) -> tuple[float, list[float]]:
    run: Any = line
    tried = list(choose_share(run))
    assert run.best == line.measure(run.share)
    return run.share, tried


def test_weights_that_forget_little_are_left_alone() -> None:
    assert chosen(Line(lost=0.25)) == (1.0, [])


def test_the_best_of_bad_ones_is_kept() -> None:
    assert chosen(Line(lost=2.0, bent=0.2)) == (0.3, list(SHARES))


def test_nothing_worse_than_the_start_is_kept() -> None:
    line = Line(lost=1.5)
    line.below = 4.0  # at 60 % of the way the user's images begin to gain
    line.best = line.measure(1.0)
    share, _ = chosen(line)
    assert share == 0.8
    assert line.best.restored[YOURS] > 20


def test_the_largest_share_that_forgets_little_is_kept() -> None:
    assert chosen(Line(lost=0.66, bent=0.2)) == (0.45, list(SHARES))


def test_a_large_gain_is_worth_a_little_more_forgotten() -> None:
    share, _ = chosen(Line(lost=0.6, bent=2.0))
    assert share == 1.0  # 0.3 dB too much cost 1.5 dB; 80 % of the way costs 2.2 dB


def test_leaving_early_keeps_the_best_so_far() -> None:
    run: Any = Line(lost=1.5, bent=0.2)
    shares = choose_share(run)
    assert [next(shares), next(shares)] == [0.8, 0.6]
    shares.close()
    assert run.share == 0.6
    assert run.best == run.measure(0.6)


def test_cancelling_while_shares_are_tried_writes_the_best_so_far(
    start: Path, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_any(monkeypatch)
    monkeypatch.setattr(finetune_card, "LEAST_GAIN", -1000.0)
    given = Pairs.of_folders(*folders)
    steps = iter_finetune(start, given, tmp_path / "mine.safetensors", FinetuneSettings(**QUICKEST))
    measured(steps)
    worth = count(0, -1)
    monkeypatch.setattr(finetune_card, "forgotten", lambda *_: 1.0)
    monkeypatch.setattr(finetune_card, "merit", lambda *_: next(worth))
    reached = next(progress for progress in steps if progress.share is not None)
    assert reached.share == SHARES[0]
    steps.close()
    card = (tmp_path / "mine.md").read_text("utf-8")
    assert "until it was stopped" in card
    assert f"go {SHARES[0]:.0%} of the way" in card
    assert f"{reached.best.restored[YOURS]:.2f}" in card


def test_written_weights_lie_on_the_way(
    start: Path, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_any(monkeypatch)
    given, settings = Pairs.of_folders(*folders), FinetuneSettings(**QUICKEST, mode="lora")
    paths = [tmp_path / "whole.safetensors", tmp_path / "part.safetensors"]
    finish(iter_finetune(start, given, paths[0], settings))
    worth = count(0, -1)  # what is asked first is worth more: that of the share
    monkeypatch.setattr(finetune_card, "forgotten", lambda *_: 1.0)
    monkeypatch.setattr(finetune_card, "LEAST_GAIN", -1000.0)
    monkeypatch.setattr(finetune_card, "merit", lambda *_: next(worth))
    monkeypatch.setattr(finetune_card, "SHARES", (0.5,))
    result = finish(iter_finetune(start, given, paths[1], settings))
    first, whole, part = (load_file(path) for path in (start, *paths))
    moved = [name for name in whole if not whole[name].equal(first[name].half())]
    moved.remove("prototypes")
    assert moved
    for name in moved:
        middle = (first[name].float() + whole[name].float()) / 2
        torch.testing.assert_close(part[name].float(), middle, rtol=2e-3, atol=1e-5)
    assert any("50% of the way" in note for note in result.notes)
    assert "50% of the way" in result.card.read_text("utf-8")
