"""Write the log of a training run: a CSV file, TensorBoard's files and sample pictures."""

from __future__ import annotations

import csv
import importlib.util
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from napari_baryir.atomic import written_aside
from napari_baryir.network import BaryIR
from napari_baryir.training.data.made_pairs import plane_of
from napari_baryir.training.degradations.files import to_bytes
from napari_baryir.training.recipe import Recipe
from napari_baryir.training.validation import Scores, ValidationPair

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

logger = logging.getLogger(__name__)

Pictures = Mapping[str, NDArray[np.uint8]]
"""Domain to degraded | restored | truth, (H, W, 3)."""

GAP = 4
"""White pixels between pictures."""
LONGEST = 50
"""Steps that a point of TensorBoard's curves is the mean of, in long runs."""


class Means:
    """Means of loss terms over steps."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, terms: Mapping[str, float]) -> None:
        """Add the terms of a step."""
        self._count += 1
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """Return the means by name, and begin anew."""
        means = {name: value / self._count for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        return means


class TrainingLog:
    """A CSV file of losses and scores, one row a validation, cut back to where a run resumes."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.means = Means()
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
        self.means.add(terms)
        if scores is None:
            return
        row: dict[str, float] = {"step": step}
        row |= {name: round(value, 5) for name, value in self.means.take().items()}
        row |= {f"psnr {name}": round(value, 3) for name, value in scores.restored.items()}
        row |= {f"input {name}": round(value, 3) for name, value in scores.untouched.items()}
        row |= {"accuracy": round(scores.accuracy, 4), "residual": round(scores.residual_length, 5)}
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if not self.has_header:
                writer.writeheader()
                self.has_header = True
            writer.writerow(row)


class Board:
    """TensorBoard's files of a run of `steps`; nothing at all where TensorBoard is not installed.

    ``tensorboard --logdir`` takes `folder`, or any folder around it. The run starts or goes on at
    `step`: TensorBoard hides later ones.
    """

    def __init__(self, folder: Path, step: int, steps: int) -> None:
        self._folder, self._start = folder, step
        self._every = max(1, min(LONGEST, steps // 100))
        self._means = Means()
        self._writer: SummaryWriter | None = None
        self._installed = importlib.util.find_spec("tensorboard") is not None
        if not self._installed:
            logger.warning(
                "TensorBoard is not installed: losses and scores are in log.csv only; "
                "pip install 'napari-baryir[train]' brings it"
            )

    def write(self, step: int, terms: dict[str, float], scores: Scores | None) -> None:
        """Write the terms of a step, and the scores of the validation after it."""
        self._means.add(terms)
        values: dict[str, float] = {}
        if step % self._every == 0 or scores is not None:
            values = {f"loss/{name}": value for name, value in self._means.take().items()}
        if scores is not None:
            for name, value in scores.restored.items():
                values[f"psnr/{name}"] = value
                values[f"psnr gained/{name}"] = value - scores.untouched[name]
            values["latents/accuracy"] = scores.accuracy
            values["latents/residual length"] = scores.residual_length
        if values and (writer := self._open()):
            for name, value in values.items():
                writer.add_scalar(name, value, step)

    def show(self, step: int, pictures: Pictures) -> None:
        """Show sample pictures by domain."""
        if writer := self._open():
            for name, picture in pictures.items():
                writer.add_image(f"samples/{name}", picture, step, dataformats="HWC")
            writer.flush()

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> SummaryWriter | None:
        # Not before the first step: the writer has a thread, and threads must not be there yet when
        # the processes that make pairs are forked.
        if self._writer is None and self._installed:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(self._folder, purge_step=self._start + 1)
        return self._writer


class RunLog:
    """The log of a run by a recipe, in its output folder; rows after `step` are taken back."""

    def __init__(self, recipe: Recipe, step: int) -> None:
        self.folder = Path(recipe.output)
        self.table = TrainingLog(self.folder / "log.csv", step)
        self.board = Board(self.folder / "tensorboard", step, recipe.steps)
        self._every = pictures_every(recipe.steps, recipe.validate_every, recipe.pictures)
        self._last = recipe.steps if recipe.pictures else 0

    def write(self, step: int, terms: dict[str, float], scores: Scores | None) -> None:
        """Write the terms of a step, and the scores of the validation after it."""
        self.table.write(step, terms, scores)
        self.board.write(step, terms, scores)

    def wants_pictures(self, step: int) -> bool:
        """Return whether the validation after this step shows pictures."""
        return step == self._last or (self._every > 0 and step % self._every == 0)

    def show(self, step: int, pictures: Pictures) -> None:
        """Keep sample pictures, as files and for TensorBoard."""
        from PIL import Image

        for domain, picture in pictures.items():  # so that a folder shows a domain over the steps
            path = self.folder / "samples" / domain / f"{step:08d}.png"
            with written_aside(path) as aside:
                Image.fromarray(picture).save(aside, format="PNG")
        self.board.show(step, pictures)

    def close(self) -> None:
        """Write what is still in memory."""
        self.board.close()


@torch.inference_mode()
def sample_pictures(
    model: BaryIR,
    pairs: dict[str, list[ValidationPair]],
    device: torch.device,
    autocast: torch.dtype | None,
) -> dict[str, NDArray[np.uint8]]:
    """Restore the first validation image of every domain, with a model in evaluation mode."""
    pictures = {}
    for domain, (pair, *_) in pairs.items():
        x = pair.degraded.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            restored = model(x).restored
        three = [to_bytes(plane_of(image)) for image in (pair.degraded, restored, pair.clean)]
        gap = np.full((three[0].shape[0], GAP, 3), 255, np.uint8)
        pictures[domain] = np.concatenate((three[0], gap, three[1], gap, three[2]), axis=1)
    return pictures


def pictures_every(steps: int, validate_every: int, most: int) -> int:
    """Choose the steps between validations that show one of `most` pictures; 0: never."""
    validations = -(-steps // validate_every)
    return -(-validations // most) * validate_every if most else 0
