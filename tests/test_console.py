"""Progress on the terminal, and where there is none."""

from __future__ import annotations

import io
import sys

import pytest

from napari_baryir.commands.console import LINE_SECONDS, StepsShown, as_duration


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_pipe_gets_a_line_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with StepsShown(clock=clock) as shown:
        for step in range(101):
            clock.now = step * LINE_SECONDS / 10
            shown.show("step", step, 100, {"fidelity": 1 / (step + 1)} if step else {})
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 10
    assert lines[0] == "step 10/100, about 4 min left: fidelity 0.091"
    assert lines[-1] == "step 100/100: fidelity 0.010"


def test_short_work_is_told_once_at_its_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with StepsShown(clock=clock) as shown:
        for step in range(4):
            shown.show("step", step, 3)
    assert capsys.readouterr().err == "step 3/3\n"


@pytest.mark.parametrize(
    ("steps", "lines", "expected"),
    [(3, 0.6, "tile 2/3, about 18 s left\n"), (2, 1.1, "tile 1/2, about 33 s left\n")],
)
def test_what_passes_leaves_no_line_at_its_end_however_long_its_last_step_takes(
    clock: Clock, capsys: pytest.CaptureFixture[str], steps: int, lines: float, expected: str
) -> None:
    with StepsShown(passing=True, clock=clock) as shown:
        for step in range(steps + 1):
            clock.now = step * lines * LINE_SECONDS
            shown.show("tile", step, steps)
    assert capsys.readouterr().err == expected


def test_time_left_is_by_the_steps_of_this_run(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with StepsShown(clock=clock) as shown:
        shown.show("step", 500, 600)  # resumed: these 500 cost nothing now
        clock.now = LINE_SECONDS
        shown.show("step", 550, 600)
    assert capsys.readouterr().err == "step 550/600, about 30 s left\n"


def test_each_part_counts_for_itself(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with StepsShown(clock=clock) as shown:
        for title, total in (("step", 2), ("calibrating", 3)):
            for done in range(total + 1):
                shown.show(title, done, total)
    assert capsys.readouterr().err == "step 2/2\ncalibrating 3/3\n"


def test_silence_is_kept(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with StepsShown(silent=True, clock=clock) as shown:
        shown.show("step", 0, 1)
        clock.now = 10 * LINE_SECONDS
        shown.show("step", 1, 1)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_and_no_lines(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with StepsShown(clock=clock) as shown:
        for step in range(3):
            clock.now += LINE_SECONDS
            shown.show("step", step, 2, {"fidelity": 0.5})
    text = terminal.getvalue()
    assert "2/2" in text
    assert "fidelity=0.500" in text
    assert "left" not in text


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.4, "0 s"), (80, "80 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_durations_are_said_as_people_say_them(seconds: float, expected: str) -> None:
    assert as_duration(seconds) == expected


def test_a_total_that_is_not_known_is_not_shown(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with StepsShown(passing=True, clock=clock) as shown:
        shown.show("measurement", 0, 0)
        clock.now = 2 * LINE_SECONDS
        shown.show("measurement", 3, 0)
    assert capsys.readouterr().err == "measurement 3\n"
