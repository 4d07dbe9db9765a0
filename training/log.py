"""The log of a training run."""

from __future__ import annotations

import csv
from pathlib import Path

from napari_baryir.training.validation import Scores


class TrainingLog:
    """A CSV file of losses and scores, one row a validation, cut back to where a run resumes."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.sums: dict[str, float] = {}
        self.count = 0
        rows: list[list[str]] = []
        if step and path.is_file():
            with path.open(newline="") as file:
                rows = [
                    row for i, row in enumerate(csv.reader(file)) if i == 0 or int(row[0]) <= step
                ]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        self.has_header = bool(rows)

    def write(self, step: int, terms: dict[str, float], scores: Scores | None) -> None:
        """Add to the means; write a row when there are scores."""
        self.count += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        if scores is None:
            return
        row: dict[str, float] = {"step": step}
        row |= {name: round(value / self.count, 5) for name, value in self.sums.items()}
        row |= {f"psnr {name}": round(value, 3) for name, value in scores.restored.items()}
        row |= {f"input {name}": round(value, 3) for name, value in scores.untouched.items()}
        row |= {"accuracy": round(scores.accuracy, 4), "residual": round(scores.residual_length, 5)}
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if not self.has_header:
                writer.writeheader()
                self.has_header = True
            writer.writerow(row)
        self.sums, self.count = {}, 0
