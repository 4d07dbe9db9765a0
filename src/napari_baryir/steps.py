"""Run generators that yield their progress and return their result, as all long work does."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Generic, TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


class Steps(Generic[Step, Result]):
    """Loops over the steps of a generator, and keeps what the generator returned.

    A loop that is left early closes the generator.
    """

    result: Result
    """The value that the generator returned; it is set when the loop is over."""

    def __init__(self, work: Generator[Step, None, Result]) -> None:
        self._work = work

    def __iter__(self) -> Iterator[Step]:
        try:
            self.result = yield from self._work
        finally:
            self._work.close()


def finish(work: Generator[Any, None, Result], *, progress: bool = False) -> Result:
    """Run a generator to its end and return its result.

    `progress`: show a bar; the steps then have `done` and `total`, numbers of tiles.
    """
    steps = Steps(work)
    if not progress:
        for _ in steps:
            pass
        return steps.result
    from tqdm.auto import tqdm

    with tqdm(unit="tile") as bar:
        for step in steps:
            bar.total = step.total
            bar.update(step.done - bar.n)
        bar.refresh()
    return steps.result
