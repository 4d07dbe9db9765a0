"""Words on the terminal: results go to stdout, remarks and progress to stderr."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from napari_baryir.restoration import Progress, Restoration

Result = TypeVar("Result")


def echo(text: str = "") -> None:
    """Write a line to stdout, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)


def remark(text: str) -> None:
    """Write a line to stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def restore_with_bar(steps: Generator[Progress, None, Restoration], title: str) -> Restoration:
    """Run a restoration behind a progress bar of tiles; nothing is shown where nobody looks."""
    return run_with_bar(steps, title)


def run_with_bar(steps: Generator[Progress, None, Result], title: str) -> Result:
    """Run a generator of progress behind a bar of tiles; nothing is shown where nobody looks."""
    from tqdm import tqdm

    with tqdm(desc=title, unit="tile", leave=False, disable=None) as bar:
        while True:
            try:
                progress = next(steps)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            bar.total = progress.total
            bar.update(progress.done - bar.n)


def as_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows in columns, the last one not padded."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(
            cell.ljust(width) for cell, width in zip(cells, widths, strict=True)
        ).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def as_size(nbytes: int) -> str:
    """Give a number of bytes as people read it: ``3.9 MB``."""
    size, unit = float(nbytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
