"""Long work can be looped over, finished at once, or left."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from napari_baryir.steps import Steps, finish


class Work:
    """Counts to 3, then returns "done"; remembers whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def run(self) -> Generator[int, None, str]:
        try:
            yield from (1, 2, 3)
        finally:
            self.closed = True
        return "done"


def test_the_result_is_there_after_the_loop_and_not_before() -> None:
    steps = Steps(Work().run())
    seen = []
    for step in steps:
        seen.append(step)
        assert not hasattr(steps, "result")
    assert (seen, steps.result) == ([1, 2, 3], "done")
    assert finish(Work().run()) == "done"


def test_leaving_the_loop_closes_the_work() -> None:
    work = Work()
    for step in Steps(work.run()):
        assert step == 1
        assert not work.closed
        break
    assert work.closed


def test_an_error_in_the_work_comes_through() -> None:
    def failing() -> Generator[int, None, str]:
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        finish(failing())
