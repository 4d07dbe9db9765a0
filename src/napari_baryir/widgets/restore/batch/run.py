"""Many images, one after the other: what the Batch tab runs, without any window."""

from __future__ import annotations

import enum
import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_baryir.errors import DeviceError, WeightsError
from napari_baryir.restoration.results import Progress
from napari_baryir.steps import Steps
from napari_baryir.widgets.dock.problem import Problem
from napari_baryir.widgets.dock.steps import Failed, Step
from napari_baryir.widgets.restore.batch.items import BatchSettings, Item
from napari_baryir.widgets.restore.job import Done

if TYPE_CHECKING:
    from napari_baryir.commands.restore import Models

logger = logging.getLogger(__name__)

PARTS = 100
"""Of an image, in the progress of all: a stack must not count as much as its number of tiles."""


class State(enum.Enum):
    """What has become of an image; the value is what the table shows."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class Update(Step):
    """News of one image; `progress` is that of the whole batch."""

    row: int
    """Which one, counted as they were given."""
    state: State
    text: str = ""
    """What there is to say: how far it is, where the result went, or why it failed."""
    result: Done | None = None
    """What came of it, where that does not lie in a file."""
    problem: Problem | None = None
    """Why it failed."""


@dataclass(frozen=True, eq=False)
class BatchDone(Done):
    """The batch is over; what came of each image was said on the way."""

    restoration: Any = None
    data: Any = None
    original: Any = None


def run_batch(
    items: Sequence[Item], settings: BatchSettings, *, again: bool = False
) -> Generator[Step, None, Done | Failed]:
    """Restore images one after the other.

    One that fails does not stop the rest, except where the rest would fail alike: weights that
    cannot be loaded, a device that is not there. Closing the generator stops within a tile and
    leaves no unfinished file behind.

    Parameters
    ----------
    items
        The images.
    settings
        For all of them.
    again
        Restore what was done before once more.

    Yields
    ------
    Update
        When an image begins, after each of its tiles, and at its end.
    """
    from napari_baryir.commands.restore import Models

    models: Models | None = None  # each is loaded once for all files
    for row, item in enumerate(items):
        batch = _Batch(row, len(items))
        if item.is_done() and not again:
            yield batch.update(State.DONE, item.outcome(), part=1)
            continue
        yield batch.update(State.RUNNING)
        try:
            if models is None:
                models = Models(settings.model, settings.device)
            yield from _restore(batch, item, settings, models)
        except (DeviceError, WeightsError, MemoryError) as error:
            yield batch.failure(item, error)
            break  # the next image would meet it too
        except (
            Exception
        ) as error:  # one bad image must not stop the rest, whatever is wrong with it
            yield batch.failure(item, error)
    return BatchDone()


@dataclass(frozen=True)
class _Batch:
    """Where in the batch one is."""

    row: int
    rows: int

    def update(self, state: State, text: str = "", *, part: float = 0, **more: Any) -> Update:
        done = int(PARTS * (self.row + part))
        progress = Progress(done, PARTS * self.rows, self.row, self.rows)
        return Update(progress, None, self.row, state, text, **more)

    def failure(self, item: Item, error: Exception) -> Update:
        problem = Problem.of(error)
        logger.info("%s: %s", item.name, problem.details or problem.sentence)
        text = problem.sentence.removeprefix(item.prefix)
        return self.update(State.FAILED, text, part=1, problem=problem)


def _restore(
    batch: _Batch, item: Item, settings: BatchSettings, models: Models
) -> Generator[Update, None, None]:
    steps = Steps(item.steps(settings, models))
    if not item.dropped:
        for progress in steps:
            part = progress.done / max(1, progress.total)
            yield batch.update(State.RUNNING, f"{part:.0%}", part=part)
            if item.dropped:
                break
        else:
            yield batch.update(State.DONE, item.outcome(), part=1, result=steps.result)
            return
    yield batch.update(State.FAILED, "It was removed before it was done.", part=1)
