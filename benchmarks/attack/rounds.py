"""Draw the cases of a round from its seed, and run them."""

from __future__ import annotations

import importlib
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

KINDS = {
    "arrays": ("array_cases", "attack_array"),
    "files": ("file_cases", "attack_file"),
    "weights": ("cases_of", "attack_weights"),
    "faults": ("fault_cases", "attack_fault"),
}
"""Kind, which is the name of its module, to what draws a case and what runs it."""

ROUND = 100
"""Cases of a round."""


@dataclass
class Findings:
    """What broke: each place once, with its smallest case."""

    counts: Counter[str] = field(default_factory=Counter)
    cases: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Place in the code to the repr of a case and the traceback."""

    def add(self, case: object, error: BaseException) -> None:
        """Keep a case that broke a promise."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [each for each in frames if "napari_baryir" in each.filename] or frames
        place = f"{type(error).__name__} at {ours[-1].filename}:{ours[-1].lineno}"
        if type(error).__name__ == "Broken":
            place = f"Broken: {str(error)[:60]}"
        self.counts[place] += 1
        text = repr(case)
        if place not in self.cases or len(text) < len(self.cases[place][0]):
            self.cases[place] = text, "".join(traceback.format_exception(error)[-12:])

    def __str__(self) -> str:
        return "\n\n".join(
            f"{self.counts[place]} x {place}\n{trace}smallest case: {text}"
            for place, (text, trace) in self.cases.items()
        )


def run_round(kind: str, number: int, cases: int, findings: Findings) -> None:
    """Run the cases that belong to a seed, to the end, and collect what breaks."""
    module: Any = importlib.import_module(f"benchmarks.attack.{kind}")
    draw, attack = (getattr(module, name) for name in KINDS[kind])

    def try_case(case: Any) -> None:
        try:
            attack(case)
        except Exception as error:
            findings.add(case, error)

    if kind == "weights":
        for case in draw(number, cases):
            try_case(case)
        return

    # Without shrinking: a round goes on after a finding, and the smallest case of many is small.
    @seed(number)
    @settings(
        max_examples=cases, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(draw())
    def round_of_cases(case: Any) -> None:
        try_case(case)

    round_of_cases()
