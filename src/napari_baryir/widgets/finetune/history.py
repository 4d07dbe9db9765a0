"""The news of a fine-tuning so far: losses, scores, a sample."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_baryir.domains import CLEAN
from napari_baryir.training.names import YOURS

if TYPE_CHECKING:
    from napari_baryir.training.finetune import FinetuneProgress
    from napari_baryir.training.validation import ValidationProgress

LOSS = "fidelity"
"""The loss term that is drawn: the others play a game, and mean little by themselves."""


@dataclass
class History:
    """The news of one run; steps are counted from 1."""

    steps: int = 0
    """Most steps."""
    validate_every: int = 100
    losses: dict[int, float] = field(default_factory=dict)
    """By step."""
    scores: dict[int, float] = field(default_factory=dict)
    """PSNR of the user's validation images by step, dB; 0 is the starting model."""
    before: Mapping[str, float] = field(default_factory=dict)
    """PSNR of the starting model by domain, dB."""
    best: Mapping[str, float] = field(default_factory=dict)
    """PSNR of the weights that are kept, by domain, dB."""
    latest: Mapping[str, float] = field(default_factory=dict)
    """PSNR at the last validation, by domain, dB."""
    untouched: float | None = None
    """PSNR of the user's validation images themselves, dB."""
    best_step: int = 0
    step: int = 0
    seconds: float = 0.0
    sample: Any = None
    """The latest `Comparison`, and the step that it was made at."""
    sample_step: int = 0
    kept_sample: Any = None
    """The `Comparison` of the best step."""
    share: float | None = None
    """Share of the way from the starting weights that was tried or chosen last; None before."""
    validating: ValidationProgress | None = None
    """Progress while the starting model is measured."""
    _first: tuple[int, float] | None = None

    def add(self, news: FinetuneProgress) -> None:
        """Take up the news of one step."""
        self.validating = news.validating
        if news.before is None or news.best is None:
            return
        if self._first is None or self._first[0] == 0:  # the very first step is a slow one
            self._first = (news.step, news.seconds)
        self.step, self.steps, self.seconds = news.step, news.steps, news.seconds
        self.best_step = news.best_step
        self.before, self.best = news.before.restored, news.best.restored
        self.untouched = news.before.untouched.get(YOURS)
        self.scores.setdefault(0, self.before[YOURS])
        if news.share is not None:
            self.share = news.share
        if LOSS in news.terms:
            self.losses[news.step] = news.terms[LOSS]
        if news.scores is not None:
            self.latest = news.scores.restored
            self.scores[news.step] = self.latest[YOURS]
        if news.sample is not None:
            self.sample, self.sample_step = news.sample, news.step
            if news.best_step == news.step or news.share is not None:
                self.kept_sample = news.sample

    @property
    def gain(self) -> float:
        """Gain of the weights that are kept over the starting model, dB."""
        return self.best[YOURS] - self.before[YOURS] if self.best else 0.0

    def most_lost(self, scores: Mapping[str, float]) -> tuple[str, float] | None:
        """Return the old domain that suffered most, and by how many dB; None if there is none.

        Untouched images are left out: hundredths of a grey value are decibels there.
        """
        lost = {
            name: self.before[name] - value
            for name, value in scores.items()
            if name not in (YOURS, CLEAN) and name in self.before
        }
        if not lost:
            return None
        worst = max(lost, key=lambda name: lost[name])
        return worst, lost[worst]

    @property
    def seconds_left(self) -> float | None:
        """Time to the last step at the speed so far."""
        if self._first is None or self.step <= self._first[0]:
            return None
        step, seconds = self._first
        return (self.seconds - seconds) / (self.step - step) * (self.steps - self.step)

    def read_log(self, path: Path) -> None:
        """Add the log of a run that is resumed; a missing or damaged log is ignored."""
        try:
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    step = int(row["step"])
                    self.losses[step] = float(row[LOSS])
                    self.scores[step] = float(row[f"psnr {YOURS}"])
        except (OSError, ValueError, KeyError, TypeError):
            return
