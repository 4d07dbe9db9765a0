"""TensorBoard: losses, scores and sample pictures, where the package is installed."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from napari_baryir.training.pictures import Pictures
from napari_baryir.training.validation import Scores

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

logger = logging.getLogger(__name__)

LONGEST = 50
"""Steps that a point of the curves is the mean of, in long runs."""


class Board:
    """TensorBoard's files of a run; nothing at all where TensorBoard is not installed.

    Parameters
    ----------
    folder
        Where to; ``tensorboard --logdir`` takes it or any folder around it.
    step
        Where the run starts or goes on; TensorBoard hides what was told of later steps.
    steps
        Of the whole run.
    """

    def __init__(self, folder: Path, step: int, steps: int) -> None:
        self._folder, self._start = folder, step
        self._every = max(1, min(LONGEST, steps // 100))
        self._sums: dict[str, float] = {}
        self._count = 0
        self._writer: SummaryWriter | None = None
        self._installed = importlib.util.find_spec("tensorboard") is not None
        if not self._installed:
            logger.warning(
                "TensorBoard is not installed: losses and scores are in log.csv only; "
                "pip install 'napari-baryir[train]' brings it"
            )

    def write(self, step: int, terms: dict[str, float], scores: Scores | None) -> None:
        """Tell of a step, and of the validation after it."""
        self._count += 1
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if step % self._every == 0 or scores is not None:
            for name, value in self._sums.items():
                self._scalar(f"loss/{name}", value / self._count, step)
            self._sums, self._count = {}, 0
        if scores is not None:
            for name, value in scores.restored.items():
                self._scalar(f"psnr/{name}", value, step)
                self._scalar(f"psnr gained/{name}", value - scores.untouched[name], step)
            self._scalar("latents/accuracy", scores.accuracy, step)
            self._scalar("latents/residual length", scores.residual_length, step)

    def show(self, step: int, pictures: Pictures) -> None:
        """Show sample pictures by domain."""
        writer = self._open()
        if writer is not None:
            for name, picture in pictures.items():
                writer.add_image(f"samples/{name}", picture, step, dataformats="HWC")
            writer.flush()

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _scalar(self, name: str, value: float, step: int) -> None:
        writer = self._open()
        if writer is not None:
            writer.add_scalar(name, value, step)

    def _open(self) -> SummaryWriter | None:
        # Not before the first step: the writer has a thread, and threads must not be there yet when
        # the processes that make pairs are forked.
        if self._writer is None and self._installed:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(self._folder, purge_step=self._start + 1)
        return self._writer
