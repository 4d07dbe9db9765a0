"""Write aside and rename: a file is there whole, or not at all."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import secrets
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

PART = ".part"
"""End of the names of files that are still being written; they also begin with a dot."""


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a name next to `path` to write a file or a folder to; rename it at the end.

    Whatever happens inside the block, an error or Ctrl-C, nothing is left behind and what was
    under `path` before stays as it was. A process that is killed leaves its part, which the next
    one that writes into the folder deletes. Folders are made for `path`, and go again if they stay
    empty.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    # The name is short, for that of `path` may be as long as the file system allows.
    aside = path.with_name(f"{_prefix()}{os.getpid()}-{secrets.token_hex(4)}{PART}")
    try:
        yield aside
        _put_in_place(aside, path)
    finally:
        remove(aside)
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()  # only if it is empty


def beside(aside: Path, purpose: str) -> Path:
    """Return the name of a second file or folder that belongs to a part."""
    return aside.with_name(f"{aside.name[: -len(PART)]}.{purpose}{PART}")


def _put_in_place(aside: Path, path: Path) -> None:
    if aside.is_file():
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
        return
    # A folder cannot be replaced by one call: the old one steps aside first.
    old = beside(aside, "old")
    if path.exists():
        os.rename(path, old)
    try:
        os.rename(aside, path)
    except OSError:
        if old.exists():
            os.rename(old, path)
        raise
    remove(old)


@functools.cache
def _prefix() -> str:
    """Return how parts of this computer begin; containers count as computers of their own."""
    computer = platform.node()
    with contextlib.suppress(OSError):
        computer += os.readlink("/proc/self/ns/pid")
    return f".baryir-{zlib.crc32(computer.encode()):08x}-"


@functools.cache
def _sweep(folder: Path) -> None:
    """Delete the parts of processes of this computer that have ended."""
    for part in folder.glob(f"{_prefix()}*{PART}"):
        process = part.name.removeprefix(_prefix()).split("-")[0]
        # An image that was to be replaced is worth more than a tidy folder.
        if process.isdecimal() and not part.name.endswith(f".old{PART}") and not _runs(process):
            remove(part)


def _runs(process: str) -> bool:
    import psutil

    running: bool = psutil.pid_exists(int(process))
    return running


def remove(path: Path) -> None:
    """Delete a file or a folder, as far as that can be done."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
