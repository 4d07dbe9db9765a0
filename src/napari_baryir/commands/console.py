"""Words on the terminal: results go to stdout, remarks and progress to stderr."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from typing import TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


def echo(text: str = "") -> None:
    """Write a line to stdout, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)


def remark(text: str) -> None:
    """Write a line to stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def finish(steps: Generator[Step, None, Result]) -> Result:
    """Run a generator to its end and give what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Result = stop.value
            return result


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
