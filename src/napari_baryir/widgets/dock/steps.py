"""The steps of a run and its end; torch loaded and a core left so that the window can move."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from napari_baryir.restoration.results import Progress

LIBRARIES = (("libtorch_global_deps.so", "RTLD_GLOBAL"), ("libtorch_python.so", "RTLD_LOCAL"))
"""The libraries of Linux with which importing torch begins, in its order; they load all others."""


@dataclass(frozen=True, eq=False)
class Step:
    """One more tile."""

    progress: Progress
    image: Any
    """The result so far, written in place. None if it is not in memory."""


@dataclass(frozen=True, eq=False)
class Success:
    """The end of a run that went well; subclasses carry its result."""


@dataclass(frozen=True, eq=False)
class Failed:
    """The end of a run that went wrong."""

    error: Exception


Outcome = Success | Failed
Ended = TypeVar("Ended", bound=Success)


def guarded(steps: Generator[Step, None, Ended]) -> Generator[Step, None, Ended | Failed]:
    """Yield the same steps with a core left; return errors, so that napari does not report them."""
    try:
        with cores_left_for_the_window():
            return (yield from steps)
    except Exception as error:
        # A frame of the traceback would keep the image, and on a GPU its memory, alive.
        return Failed(error.with_traceback(None) if isinstance(error, MemoryError) else error)


@contextmanager
def cores_left_for_the_window() -> Iterator[None]:
    """Leave a core to the GUI thread where there are more than two."""
    load_libraries()
    import torch

    before = torch.get_num_threads()
    cores = os.cpu_count() or 1
    if cores > 2:
        torch.set_num_threads(max(1, min(before, cores - 1)))
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def load_libraries() -> bool:
    """Load torch's libraries before Python imports it, in the same thread; say whether it worked.

    The import loads hundreds of megabytes while it holds Python's lock: the window would stand
    still for half a second, and for many from a cold disk. Where this loads nothing, since the
    libraries are elsewhere or lack something that torch finds by itself, the import still works.
    """
    if "torch" in sys.modules:
        return True
    if sys.platform != "linux":
        return False
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    # ctypes opens a library with the lock held; a foreign function, such as dlopen, runs without.
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    folder = Path(found.origin).parent / "lib"
    return all(
        dlopen(os.fsencode(folder / name), os.RTLD_NOW | getattr(os, mode))
        for name, mode in LIBRARIES
    )
