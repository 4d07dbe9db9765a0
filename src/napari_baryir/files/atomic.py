"""Writing aside and renaming: a file is there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PART = ".part"
"""End of the names of files that are still being written; they also begin with a dot."""

IN_MEMORY = 256 * 2**20
"""Bytes up to which pixels wait in memory to be written; larger ones wait in a file."""


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
        _remove(aside)


@contextlib.contextmanager
def waiting_pixels(
    shape: tuple[int, ...], dtype: np.dtype[Any], aside: Path
) -> Iterator[NDArray[Any]]:
    """An array to fill before it can be encoded: in memory, or in a file beside `aside` if large.

    Parameters
    ----------
    shape, dtype
        Of the array, which starts as zeros.
    aside
        The file that it will be encoded to; its folder holds the pixels meanwhile.
    """
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if nbytes <= IN_MEMORY:
        yield np.zeros(shape, dtype)
        return
    scratch = aside.with_name(f"{aside.name[: -len(PART)]}.pixels{PART}")
    try:
        yield np.memmap(scratch, dtype=dtype, mode="w+", shape=shape)
    finally:
        _remove(scratch)


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
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
