"""What a training run tells: a CSV file, and with it TensorBoard's files and sample pictures."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from napari_baryir.atomic import written_aside
from napari_baryir.training.board import Board
from napari_baryir.training.pictures import Pictures, pictures_every, save_pictures
from napari_baryir.training.recipe import Recipe
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
                header, *written = [*csv.reader(file)] or [[]]
            # A process that is killed may leave a part of a row.
            rows = [header] if header else []
            rows += [row for row in written if len(row) == len(header) and int(row[0]) <= step]
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        with written_aside(path) as aside:
            aside.write_text(text.getvalue(), encoding="utf-8", newline="")
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


class RunLog:
    """All that a run by a recipe tells, in its output folder.

    Parameters
    ----------
    recipe
        Of the run.
    step
        Where it starts or goes on; what was told of later steps is taken back.
    """

    def __init__(self, recipe: Recipe, step: int) -> None:
        self.folder = Path(recipe.output)
        self.table = TrainingLog(self.folder / "log.csv", step)
        self.board = Board(self.folder / "tensorboard", step, recipe.steps)
        self._every = pictures_every(recipe.steps, recipe.validate_every, recipe.pictures)
        self._last = recipe.steps if recipe.pictures else 0

    def write(self, step: int, terms: dict[str, float], scores: Scores | None) -> None:
        """Tell of a step, and of the validation after it."""
        self.table.write(step, terms, scores)
        self.board.write(step, terms, scores)

    def wants_pictures(self, step: int) -> bool:
        """Whether the validation after this step is one that shows pictures."""
        return step == self._last or (self._every > 0 and step % self._every == 0)

    def show(self, step: int, pictures: Pictures) -> None:
        """Keep sample pictures, as files and for TensorBoard."""
        save_pictures(self.folder / "samples", step, pictures)
        self.board.show(step, pictures)

    def close(self) -> None:
        """Write what is still in memory."""
        self.board.close()
