"""A moment of a run: a line of the package's own code, counted from the start."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import napari_baryir
import napari_baryir.training

OURS = tuple(
    str(Path(module.__file__ or "").resolve().parent)
    for module in (napari_baryir, napari_baryir.training)
)
TIDY = ("atomic.py", "waiting.py")
"""Modules that tidy up after a fault; a second fault while they do is one too many."""


def _is_ours(frame: FrameType) -> bool:
    name = os.path.realpath(frame.f_code.co_filename)
    return name.startswith(OURS) and not name.endswith(TIDY)


@contextlib.contextmanager
def at_line(number: int, act: Callable[[], None]) -> Iterator[list[int]]:
    """Act at the given line of the package's code that runs here; give a count of the lines."""
    count = [0]

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            count[0] += 1
            if count[0] == number:
                act()
        return local

    known: dict[Any, bool] = {}

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code not in known:
            known[code] = _is_ours(frame)
        return local if known[code] else None

    sys.settrace(enter)
    try:
        yield count
    finally:
        sys.settrace(None)
