"""Words on the terminal: results go to stdout, remarks and progress to stderr."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from napari_baryir.errors import InputError
from napari_baryir.steps import Steps

if TYPE_CHECKING:
    from napari_baryir.batch.jobs import Job
    from napari_baryir.batch.run import News

Result = TypeVar("Result")

LINE_SECONDS = 30.0
"""Between lines of progress where no bar can be drawn: some twenty in a fine-tuning of ten minutes,
which says that it runs, and no flood in a log of hours."""


def echo(text: str = "") -> None:
    """Write a line to stdout, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)


def remark(text: str) -> None:
    """Write a line to stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


class Voice:
    """Speaks for a command: lines, or one JSON document, on stdout; notes on stderr.

    ``--quiet`` keeps lines, notes and progress back, ``--verbose`` lets details out, ``--json``
    replaces the lines.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.quiet: bool = args.quiet
        self._verbose: bool = args.verbose and not args.quiet
        self._json: bool = getattr(args, "json", False)

    def line(self, text: str) -> None:
        """Write a result."""
        if not self.quiet and not self._json:
            echo(text)

    def note(self, text: str) -> None:
        """Write a remark."""
        if not self.quiet:
            remark(text)

    def detail(self, title: str, settings: Mapping[str, Any]) -> None:
        """Write names and values, such as settings, as a remark for those who want to know all."""
        if self._verbose:
            remark(f"{title}: {', '.join(f'{name} {value}' for name, value in settings.items())}")

    def document(self, value: object) -> None:
        """Give all results to a program, if one asks for them."""
        if self._json:
            echo(json.dumps(_finite(value), indent=1, allow_nan=False))


def _finite(value: Any) -> Any:
    """Return a value without numbers that JSON lacks: infinite ones and NaN become null."""
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class StepsShown:
    """Progress of long work: a bar on a terminal; elsewhere, as in a log file, a line now and then.

    Work may have several parts, one after the other, each with a title of its own. `silent`: show
    nothing at all. `passing`: nothing of it is to stay, neither the bar nor a line that says that a
    part is finished. `clock` returns seconds.
    """

    def __init__(
        self,
        *,
        silent: bool = False,
        passing: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._silent = silent
        self._passing = passing
        self._clock = clock
        self._title: str | None = None
        self._bar: Any = None

    def __enter__(self) -> StepsShown:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(
        self, title: str, done: int, total: int, terms: Mapping[str, float] | None = None
    ) -> None:
        """Show how far the part is whose title, such as "step", names the thing that is counted.

        The first call of a part may start anywhere, as resumed work does. `terms` are names to
        values, such as losses, to be shown beside.
        """
        if title != self._title:
            self._begin(title, done, total)
        self._bar.update(done - self._bar.n)
        values = {name: f"{value:.3f}" for name, value in (terms or {}).items()}
        if not self._bar.disable:
            self._bar.set_postfix(values, refresh=False)
        elif not self._silent:
            self._line(done, total, values)

    def _begin(self, title: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is not None:
            self._bar.close()
        # None: no bar where stderr is no terminal.
        disable = True if self._silent else None
        self._bar = tqdm(
            desc=title, total=total, initial=done, disable=disable, file=sys.stderr,
            leave=not self._passing,
        )  # fmt: skip
        self._title = title
        self._first = done
        self._start = self._said = self._clock()

    def _line(self, done: int, total: int, values: Mapping[str, str]) -> None:
        if self._passing and done == total:
            return
        now = self._clock()
        finished = done == total > self._first
        if now - self._said < LINE_SECONDS and not finished:
            return
        self._said = now
        line = f"{self._title} {done}" + (f"/{total}" if total else "")  # 0: not known
        new, elapsed = done - self._first, now - self._start
        if new and done < total:
            line += f", about {as_duration((total - done) * elapsed / new)} left"
        terms = "  ".join(f"{name} {value}" for name, value in values.items())
        remark(f"{line}: {terms}" if terms else line)


def run_shown(steps: Generator[Any, None, Result], title: str, voice: Voice) -> Result:
    """Run a generator whose steps have `done` and `total`, and show these while it goes on."""
    running = Steps(steps)
    with StepsShown(passing=True, silent=voice.quiet) as shown:
        for step in running:
            shown.show(title, step.done, step.total)
    return running.result


def follow(
    batch: Generator[News[Result], None, None], jobs: Sequence[Job], voice: Voice
) -> Iterator[News[Result]]:
    """Show the progress of a batch, pass on finished images, and raise the error that stops it."""
    with contextlib.closing(batch), StepsShown(passing=True, silent=voice.quiet) as shown:
        for news in batch:
            job, progress = jobs[news.row], news.progress
            if progress is not None:
                title = f"{news.row + 1}/{len(jobs)} {job.name}: tile"
                shown.show(title, progress.done, progress.total)
            elif news.error is not None and news.stops:
                raise news.error
            elif news.state.value in ("done", "failed"):
                if news.error is not None:
                    remark(f"failed: {failure(job, news.error)}")
                yield news


def failure(job: Job, error: Exception) -> str:
    """Put an error in one line that names the file."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, InputError):
        text = f"{type(error).__name__}: {text}"
    return text if str(job.path) in text else f"{job.path}: {text}"


def as_duration(seconds: float) -> str:
    """Return a duration as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def as_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows in columns, the last one not padded."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(
            cell.ljust(width) for cell, width in zip(cells, widths, strict=True)
        ).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def as_size(nbytes: int) -> str:
    """Return a number of bytes as people read it: ``3.9 MB``."""
    size, unit = float(nbytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
