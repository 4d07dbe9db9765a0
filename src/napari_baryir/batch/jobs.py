"""Which files a command works on, and where each result goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_baryir.errors import InputError
from napari_baryir.files.formats import (
    FORMATS,
    format_name,
    is_image_path,
    known_suffixes,
    result_place,
)


@dataclass(frozen=True)
class Job:
    """One image to read and where to write what comes of it."""

    source: Path
    target: Path

    def is_done(self) -> bool:
        """Whether the target is there and not older than its source.

        Files are written whole or not at all, so that one that is there is complete.
        """
        if not self.target.exists() or not self.source.exists():
            return False
        return _modified(self.target) >= _modified(self.source)


def plan_jobs(inputs: Sequence[str], out: str, *, apart: bool = True) -> list[Job]:
    """Find the images that `inputs` name and a place for each result.

    Parameters
    ----------
    inputs
        Files, patterns such as ``"data/**/*.tif"``, and folders, which are searched recursively.
    out
        A file, if there is one input file and `out` has the suffix of an image; else a folder, in
        which the structure below folders, and below the fixed part of patterns, is kept.
    apart
        Whether every result needs a place of its own.

    Raises
    ------
    InputError
        If there is nothing to do, or results would overwrite inputs or one another.
    """
    folder = Path(out)
    found: dict[str, tuple[Path, Path]] = {}
    for text in inputs:
        for source, place in _expand(text, folder):
            found.setdefault(os.path.realpath(source), (source, place))
    if not found:
        raise InputError(
            f"no images in {', '.join(inputs)}; files that end in {known_suffixes()} are looked for"
        )
    to_file = _names_file(folder, out)
    if to_file and len(found) > 1:
        raise InputError(
            f"-o {out} names one file but there are {len(found)} inputs; give a folder instead"
        )
    jobs = [
        Job(source, folder if to_file else folder / result_place(source, place))
        for source, place in found.values()
    ]
    if apart:
        _refuse_clashes(jobs, set(found))
    return jobs


def _names_file(out: Path, text: str) -> bool:
    """Whether the output is meant as a file."""
    if text.endswith(("/", os.sep)):
        return False
    name = format_name(out)
    if name is not None:
        return FORMATS[name].is_folder or not out.is_dir()
    if out.suffix and not out.is_dir():
        raise InputError(
            f"-o {text}: {out.suffix} files cannot be written; use one of {known_suffixes()}, "
            "or end the name of a folder with /"
        )
    return False


def _expand(text: str, out: Path) -> Iterator[tuple[Path, Path]]:
    """Images that one argument names, each with its place below the output folder."""
    path = Path(text)
    if path.exists() or not glob.has_magic(text):
        yield from _below(path, out) if _is_plain_folder(path) else [(path, Path(path.name))]
        return
    matches = sorted(glob.glob(text, recursive=True))
    if not matches:
        raise InputError(f"no file matches {text}")
    fixed = _fixed_part(path)
    for match in map(Path, matches):
        if is_image_path(match):
            yield match, match.relative_to(fixed)
        elif _is_plain_folder(match) and "**" not in text:
            for source, place in _below(match, out):
                yield source, match.relative_to(fixed) / place


def _fixed_part(pattern: Path) -> Path:
    """The folders of a pattern before its first wildcard."""
    parts = list(pattern.parts)
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _below(folder: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """All images in a folder and its folders, but not those in the output folder."""
    if out.exists() and out.samefile(folder):
        raise InputError(
            f"-o {out} is the folder of the inputs, whose images would be overwritten; "
            "give another folder"
        )
    for here, folders, files in os.walk(folder):
        inside = Path(here)
        images = [inside / name for name in (*folders, *files) if is_image_path(inside / name)]
        for image in sorted(images):
            yield image, image.relative_to(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and not is_image_path(inside / name)
            and not (out.exists() and out.samefile(inside / name))
        )


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not is_image_path(path)


def _refuse_clashes(jobs: Sequence[Job], sources: set[str]) -> None:
    taken: dict[str, Path] = {}
    for job in jobs:
        target = os.path.realpath(job.target)
        if target in sources:
            raise InputError(
                f"the result of {job.source} would overwrite the input {job.target}; "
                "give another file or folder with -o"
            )
        other = taken.setdefault(target, job.source)
        if other is not job.source:
            raise InputError(
                f"{other} and {job.source} would both become {job.target}; "
                "give the folder above them, so that its structure is kept"
            )


def _modified(path: Path) -> float:
    """When an image was last written: of folders, the newest of the files right inside."""
    times = [path.stat().st_mtime]
    if path.is_dir():
        # Renaming a folder into place changes none of these, copying pixels into it does.
        times = [entry.stat().st_mtime for entry in os.scandir(path)] or times
    return max(times)
