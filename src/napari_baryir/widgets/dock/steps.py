"""What a run of any dock is made of: steps, how it ends, and a core left for the window."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from napari_baryir.imaging.checks import as_array
from napari_baryir.widgets.dock.torch_ahead import load_libraries

if TYPE_CHECKING:
    from napari_baryir.restoration.results import Progress


@dataclass(frozen=True, eq=False)
class Step:
    """One more tile."""

    progress: Progress
    image: Any
    """The result so far, written in place. None if it is not in memory."""


@dataclass(frozen=True, eq=False)
class Success:
    """A run that went well; subclasses carry its result."""


@dataclass(frozen=True, eq=False)
class Failed:
    """A run that went wrong."""

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


def read_data(data: Any) -> Any:
    """Return the array behind a layer's data; xarray keeps it inside."""
    if hasattr(data, "dims") and hasattr(data, "data"):
        data = data.data
    return as_array(data)


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
