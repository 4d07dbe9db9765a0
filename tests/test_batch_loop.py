"""The loop over many images: what stops it and what does not."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import pytest

from napari_baryir.batch.run import News, State, run_batch
from napari_baryir.errors import DeviceError, WeightsError
from napari_baryir.restoration.results import Progress


@dataclass
class Item:
    number: int
    done: bool = False
    broken: bool = False

    def is_done(self) -> bool:
        if self.broken:
            raise PermissionError("may not look")
        return self.done


def failing(error: BaseException) -> Callable[[Item], Generator[Progress, None, int]]:
    """Work that fails for the second item, after a tile."""

    def work(item: Item) -> Generator[Progress, None, int]:
        yield Progress(1, 2, 0, 1)
        if item.number == 1:
            raise error
        return item.number

    return work


def ended(news: list[News[int]]) -> list[str]:
    return [each.state.value for each in news if each.state is not State.RUNNING]


ITEMS = [Item(number) for number in range(3)]


@pytest.mark.parametrize(
    "error",
    [UnicodeEncodeError("cp1252", "x", 0, 1, "no"), MemoryError(), RecursionError(), OSError()],
)
def test_a_failing_image_does_not_stop_the_rest(error: Exception) -> None:
    news = list(run_batch(ITEMS, failing(error)))
    assert ended(news) == ["done", "failed", "done"]
    assert [each.result for each in news if each.state is State.DONE] == [0, 2]
    assert [each.error for each in news if each.error] == [error]


@pytest.mark.parametrize("error", [DeviceError("gone"), WeightsError("damaged")])
def test_what_every_image_would_meet_stops_the_batch(error: Exception) -> None:
    news = list(run_batch(ITEMS, failing(error)))
    assert ended(news) == ["done", "failed"]
    assert news[-1].stops


def test_ctrl_c_is_passed_on() -> None:
    with pytest.raises(KeyboardInterrupt):
        list(run_batch(ITEMS, failing(KeyboardInterrupt())))


def test_what_is_done_is_worked_on_only_when_asked() -> None:
    items = [Item(0, done=True), Item(2)]
    results = [
        each.result for each in run_batch(items, failing(OSError())) if each.state is State.DONE
    ]
    assert results == [None, 2]
    again = run_batch(items, failing(OSError()), again=True)
    assert [each.result for each in again if each.state is State.DONE] == [0, 2]


def test_an_image_that_cannot_be_looked_at_fails_alone() -> None:
    assert ended(list(run_batch([Item(0, broken=True), Item(2)], failing(OSError())))) == [
        "failed", "done",
    ]  # fmt: skip


def test_closing_ends_the_work_of_the_image() -> None:
    closed: list[int] = []

    def work(item: Item) -> Generator[Progress, None, int]:
        try:
            yield Progress(1, 2, 0, 1)
            return item.number
        finally:
            closed.append(item.number)

    batch = run_batch(ITEMS, work)
    while next(batch).progress is None:
        pass
    batch.close()
    assert closed == [0]
