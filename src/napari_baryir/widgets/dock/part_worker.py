"""One part of a lazy array after the other, computed in a thread until another is wanted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import dask
import numpy as np
from napari.qt.threading import GeneratorWorker, create_worker
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_baryir.widgets.restore.job import Failed

Part = tuple[Any, ...]
"""What was cut out of an array: the keys of its slices, one after the other."""


class PartWorker(QObject):
    """Computes parts of a dask array. All signals come on the GUI thread, where it must be made.

    Parameters
    ----------
    array
        Of dask.
    context
        In which the thread computes.
    """

    made = Signal(object, object)
    """A part, and its values or `Failed`."""
    ended = Signal()
    """Another part can be started."""

    def __init__(
        self, array: Any, context: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        super().__init__()
        self._array = array
        self._context = context
        self._worker: GeneratorWorker[Any, None, None] | None = None
        self._part: Part = ()

    @property
    def is_busy(self) -> bool:
        """Whether it has not yet ended."""
        return self._worker is not None

    def makes(self, part: Part) -> bool:
        """Whether this part is in work and will be made."""
        worker = self._worker
        return worker is not None and part == self._part and not worker.abort_requested

    def start(self, part: Part) -> None:
        """Make a part; for one that is not busy."""

        def steps() -> Generator[NDArray[Any] | Failed, None, None]:
            def check(*_: object) -> None:
                if worker.abort_requested:
                    raise _Stopped

            try:
                with self._context():
                    yield computed(cut(self._array, part), check)
            except _Stopped:
                return
            except Exception as error:  # one that gets out would reach the user as a traceback
                yield Failed(error)

        worker = create_worker(steps, _start_thread=False, _ignore_errors=True)
        worker.yielded.connect(self._on_values)
        worker.finished.connect(self._on_finished)
        self._worker, self._part = worker, part
        worker.start()

    def stop(self) -> None:
        """Stop within a task, a tile for instance; `ended` comes then."""
        if self._worker is not None:
            self._worker.quit()

    def _on_values(self, values: NDArray[Any] | Failed) -> None:
        self.made.emit(self._part, values)

    def _on_finished(self) -> None:
        self._worker = None
        self.ended.emit()


class _Stopped(Exception):
    """Nobody looks at it any more."""


def cut(array: Any, part: Part) -> Any:
    """A part of an array."""
    for keys in part:
        array = array[keys]
    return array


def computed(array: Any, check: Callable[..., None] | None = None) -> NDArray[Any]:
    """Compute a dask array, calling `check` before every task, a tile for instance."""
    if check is None or dask.config.get("scheduler", None) is not None:  # somebody's own computers
        return np.asarray(array.compute())
    callbacks: Sequence[Any] = [(None, None, check, None, None)]
    # Not napari's, which keep what was computed: they are not made for two threads.
    return np.asarray(array.compute(scheduler="sync", callbacks=callbacks))
