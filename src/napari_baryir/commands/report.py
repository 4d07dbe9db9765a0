"""The report of `napari-baryir restore`: how each image was restored, for programs and archives."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_baryir.errors import InputError

if TYPE_CHECKING:
    from napari_baryir.batch.jobs import Job
    from napari_baryir.batch.models import Models
    from napari_baryir.batch.run import RestoredFile
    from napari_baryir.restoration import Progress, Restoration

    Estimate = dict[str, list[dict[str, Any]] | None]
    Reported = tuple[RestoredFile, Estimate | None]
    """A restored file, and what was wrong with it before and after."""

RESTORED, SKIPPED, FAILED = "restored", "skipped", "failed"
"""States of an image in the report."""

SHARED = ("device", "precision", "tile", "overlap", "intensity")
"""Settings of a restoration that its estimates take over, so that both are compared alike."""


def restore_and_estimate(
    job: Job, models: Models, *, axes: str | None, estimating: bool, **options: Any
) -> Generator[Progress, None, Reported]:
    """Restore from file to file, and estimate both, if that is wanted.

    Returns the restored file; and "before" and "after", each a list with severity and shares of
    every plane, or None if the model is not calibrated; None for both where nothing is estimated.
    """
    from napari_baryir.batch.run import iter_restore_file
    from napari_baryir.files import format_name

    done = yield from iter_restore_file(job, models, axes=axes, **options)
    if not estimating:
        return done, None
    # A result of another format may have its axes in another order, which the file tells.
    same = format_name(job.path) == format_name(job.target)
    before = yield from _planes(job.path, models, done.restoration, keep_axes=True)
    after = yield from _planes(job.target, models, done.restoration, keep_axes=same)
    return done, {"before": before, "after": after}


def _planes(
    path: Path, models: Models, done: Restoration, *, keep_axes: bool
) -> Generator[Progress, None, list[dict[str, Any]] | None]:
    """Estimate a file as it was restored; None if the model is not calibrated."""
    from napari_baryir.commands.estimate_files import TableEntry
    from napari_baryir.degradation import iter_estimate
    from napari_baryir.files import read_image

    with read_image(path) as image:
        axes = done.axes if keep_axes else image.axes
        _, model = models.get(image, axes)
        if not model.calibration:
            return None
        settings = {name: done.settings[name] for name in SHARED}
        estimate = yield from iter_estimate(
            image.data, axes=axes, model=model, at_once=True, **settings
        )
    return TableEntry.of(str(path), estimate).planes


class Report:
    """The entries of all images in one file, and of each image beside its result.

    `path` is the file, or None for none; entries of an earlier run in it are kept. `sidecar`: write
    RESULT.json beside each result. Raises `InputError` if a file that is there is something else.
    """

    def __init__(self, path: str | None, jobs: Sequence[Job], *, sidecar: bool) -> None:
        self._path = Path(path) if path else None
        self._entries = {} if self._path is None else _read(self._path, "--report")
        self._sidecar = sidecar
        for job in jobs if sidecar else ():
            _read(_beside(job.target), "--sidecar")

    @property
    def wanted(self) -> bool:
        """Return whether anything is to be written."""
        return self._path is not None or self._sidecar

    def note(self, entry: dict[str, Any]) -> None:
        """Take up an entry; an image that is skipped keeps its earlier one.

        An entry whose own file cannot be written becomes that of an image that failed.
        """
        if self._sidecar and entry["state"] == RESTORED:
            try:
                _write(_beside(Path(entry["result"])), [entry])
            except OSError as error:
                entry |= {"state": FAILED, "error": f"the result is there, its report not: {error}"}
        if entry["state"] != SKIPPED or entry["result"] not in self._entries:
            self._entries[entry["result"]] = entry

    def write(self) -> None:
        """Write the report."""
        if self._path is not None:
            _write(self._path, list(self._entries.values()))


def _beside(result: Path) -> Path:
    from napari_baryir.batch.jobs import cut_name

    return result.with_name(f"{cut_name(result.name, '.json')}.json")


def _read(path: Path, option: str) -> dict[str, Any]:
    """Return the entries of an earlier report by their results."""
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return {}
    try:
        entries = json.loads(path.read_bytes())
        if not isinstance(entries, list):
            raise TypeError("a report is a list")
        return {entry["result"]: entry for entry in entries}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError(f"{option} {path} is there already and is no report") from None


def _write(path: Path, entries: Sequence[Any]) -> None:
    from napari_baryir.atomic import written_aside

    with written_aside(path) as aside:
        aside.write_text(json.dumps(entries, indent=1) + "\n", "utf-8")
