"""Errors as sentences."""

from __future__ import annotations

import pytest

from napari_baryir.errors import DataError, DeviceError, InputError
from napari_baryir.widgets.dock.problem import Problem


def problem(error: Exception) -> Problem:
    with pytest.raises(type(error)) as caught:
        raise error
    return Problem.of(caught.value)


def test_wrong_input_is_one_sentence_without_details() -> None:
    told = problem(InputError("axes 'TZ' must have\n Y and X"))
    assert told.sentence == "Axes 'TZ' must have Y and X."
    assert told.details == ""


def test_problems_that_are_listed_keep_a_line_each() -> None:
    told = problem(DataError("2 problems with the images:\n- a.tif is empty; take it out\n- b"))
    assert told.sentence == "2 problems with the images.\n• a.tif is empty; take it out.\n• B."
    assert told.details == ""


def test_expected_trouble_has_its_traceback_behind_the_button() -> None:
    told = problem(DeviceError("cuda is out of memory"))
    assert told.sentence == "Cuda is out of memory."
    assert "Traceback" in told.details
    assert told.expected
    assert problem(DeviceError("a.pth is damaged")).sentence == "a.pth is damaged."


def test_defects_say_so_and_memory_says_what_to_do() -> None:
    told = problem(KeyError("thing"))
    assert not told.expected
    assert "unexpected" in told.sentence
    assert "Traceback" not in told.sentence
    assert "thing" in told.details
    assert "Close other programs" in problem(MemoryError()).sentence


def test_full_or_forbidden_disk_is_no_defect_to_report() -> None:
    told = problem(PermissionError(13, "Permission denied", "/there/a.tif"))
    assert told.sentence.startswith("/there/a.tif: Permission denied; check")
    assert "unexpected" not in told.sentence
