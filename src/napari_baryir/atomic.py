"""Writing aside and renaming: a file is there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

PART = ".part"
"""End of the names of files that are still being written; they also begin with a dot."""


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a name next to `path` to write a file or a folder to; rename it at the end.

    Whatever happens inside the block, an error or Ctrl-C, nothing is left behind and what was
    under `path` before stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        yield aside
        _put_in_place(aside, path)
    finally:
        remove(aside)


def _put_in_place(aside: Path, path: Path) -> None:
    if aside.is_file():
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
        return
    # A folder cannot be replaced by one call: the old one steps aside first.
    old = aside.with_name(f"{aside.name[: -len(PART)]}.old{PART}")
    if path.exists():
        os.rename(path, old)
    try:
        os.rename(aside, path)
    except OSError:
        if old.exists():
            os.rename(old, path)
        raise
    remove(old)


def remove(path: Path) -> None:
    """Delete a file or a folder, as far as that can be done."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
