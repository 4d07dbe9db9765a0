"""Find the files of a batch, and the path of each result."""

from __future__ import annotations

import filecmp
import glob
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_baryir.errors import InputError
from napari_baryir.files.formats import (
    FORMATS,
    format_name,
    image_name,
    is_image_path,
    known_suffixes,
    possible_sources,
    result_place,
    split_scene,
)
from napari_baryir.files.reading import images_inside

Found = tuple[Path, Path]
"""An image, and its path below the output folder."""

LONGEST_NAME = 255
"""Bytes of a name that file systems take."""


@dataclass(frozen=True)
class Job:
    """One image to read, and the path of its result."""

    path: Path
    target: Path

    @property
    def name(self) -> str:
        """Name of the file, with the scene if it holds several images."""
        return image_name(self.path)

    def is_done(self) -> bool:
        """Return whether the target is there, is not empty, and is not older than the image.

        Files are written whole or not at all, so that one that is there is complete. An older file
        that took its place keeps its old date; when it came is the time of its last change
        on the disk.
        """
        file, _ = split_scene(self.path)
        if not self.target.exists() or not file.exists() or _is_empty(self.target):
            return False
        written = zip(_times(self.target), _times(file), strict=True)
        return all(target >= read for target, read in written)


def cut_name(name: str, ending: str) -> str:
    """Return the name of an image, cut so that file systems still take it with an ending."""
    raw, room = name.encode("utf-8", "surrogateescape"), LONGEST_NAME - len(ending)
    if len(raw) <= room:
        return name
    return f"{raw[: room - 9].decode('utf-8', 'ignore')}-{zlib.crc32(raw):08x}"


@dataclass(frozen=True)
class JobList:
    """The work of a batch."""

    jobs: list[Job]
    notes: tuple[str, ...]
    """Remarks on files that are left out, with the reason; one sentence each."""


def plan_jobs(
    inputs: Sequence[str], out: str, *, apart: bool = True, to_folder: bool = False
) -> JobList:
    """Find the images that `inputs` name and a file for each result.

    `inputs` are files, patterns such as ``"data/**/*.tif"``, and folders, which are searched
    recursively. Linked folders are searched too, unless the link leads into or above the searched
    folder. `out` is a file, if there is one input file and `out` has the suffix of an image; else,
    and where `to_folder` says so, it is a folder in which the structure below folders, and below
    the fixed part of patterns, is kept. `apart`: every result needs a file of its own.

    Raises `InputError` if there is nothing to do, or results would overwrite inputs or one another.
    """
    folder = Path(out)
    to_file = _names_file(folder, out, to_folder)
    search = _Search(folder)
    found: dict[str, Found] = {}
    for text in inputs:
        for file, below in search.expand(text):
            for image in images_inside(file):
                found.setdefault(os.path.realpath(image), (image, below))
    if not found:
        why = "; ".join((f"no images in {', '.join(inputs)}", *search.notes))
        raise InputError(f"{why}; files that end in {known_suffixes()} are looked for")
    if not any(split_scene(image)[0].exists() for image, _ in found.values()):
        missing = ", ".join(str(image) for image, _ in found.values())
        raise InputError(f"{missing}: there is no such file or folder")
    if to_file and len(found) > 1:
        raise InputError(
            f"-o {out} names one file but there are {len(found)} images; give a folder instead"
        )
    jobs = [
        Job(image, folder if to_file else folder / result_place(image, below))
        for image, below in found.values()
    ]
    if apart:
        _refuse_clashes(jobs, set(found))
    return JobList(jobs, search.notes)


def _names_file(out: Path, text: str, to_folder: bool) -> bool:
    """Return whether the output is meant as a file, or as an image that is a folder."""
    above = next((folder for folder in out.parents if is_image_path(folder)), None)
    if above is not None:
        raise InputError(f"-o {text} lies inside the image {above}; give another place")
    name = format_name(out)
    if name is not None and FORMATS[name].is_folder:
        if to_folder:
            raise InputError(f"-o {text} is named as an image; give a folder of another name")
        return True
    if any((out / name).exists() for name in ("zarr.json", ".zgroup", ".zarray")):
        raise InputError(f"-o {text} is a Zarr image; give another folder")
    if to_folder or text.endswith(("/", os.sep)):
        return False
    if name is not None:
        return not out.is_dir()
    if out.suffix and not out.is_dir():
        raise InputError(
            f"-o {text}: {out.suffix} files cannot be written; use one of {known_suffixes()}, "
            "or end the name of a folder with /"
        )
    return False


class _Search:
    """Finds images, and notes what it leaves out; those in the output `out` are results."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._others: Counter[str] = Counter()
        self._left_out: dict[Path, str] = {}
        self._kept: set[Path] = set()

    @property
    def notes(self) -> tuple[str, ...]:
        """Return remarks on what was left out, with the reason."""
        notes = [f"{path}: {why}" for path, why in self._left_out.items() if why]
        if count := self._others.total():
            kinds = ", ".join(f"{number} {kind}" for kind, number in self._others.most_common(5))
            notes.append(f"left out {count} file{'s' * (count > 1)} of other kinds: {kinds}")
        return tuple(notes)

    def expand(self, text: str) -> Iterator[Found]:
        """Yield the images that one argument names."""
        path = Path(text)
        if path.exists() or not glob.has_magic(text):
            yield from self._below(path) if _is_plain_folder(path) else [(path, Path(path.name))]
            return
        matches = sorted(glob.glob(text, recursive=True))
        if not matches:
            raise InputError(f"no file matches {text}")
        fixed = _fixed_part(path)
        for match in map(Path, matches):
            below = match.relative_to(fixed)
            above = [fixed / folder for folder in reversed(below.parents[:-1])]
            if any(is_image_path(folder) or self._leaves_out(folder, fixed) for folder in above):
                continue
            if not _is_plain_folder(match):
                if self._takes(match):
                    yield match, below
            elif "**" not in text and not self._leaves_out(match, fixed):
                for image, inside in self._below(match):
                    yield image, below / inside

    def _below(self, top: Path) -> Iterator[Found]:
        """Yield all images in a folder and its folders, but not results."""
        if self._is_out(top):
            raise InputError(
                f"-o {self._out} is the folder of the inputs, whose images would be overwritten; "
                "give another folder"
            )
        seen = [Path(os.path.realpath(top))]
        for here, folders, files in os.walk(top, followlinks=True, onerror=self._note_unreadable):
            inside = Path(here)
            if not os.access(inside, os.X_OK):  # its files are listed, and none can be looked at
                self._left_out[inside] = "left out: it may not be entered"
                folders.clear()
                continue
            images = [name for name in folders if is_image_path(inside / name)]
            images += [name for name in files if self._takes(inside / name)]
            for name in sorted(images):
                yield inside / name, (inside / name).relative_to(top)
            folders[:] = [
                name
                for name in sorted(set(folders).difference(images))
                if not name.startswith(".")
                and not self._leaves_out(inside / name, top)
                and not self._leads_back(inside / name, seen)
            ]

    def _takes(self, file: Path) -> bool:
        """Return whether a file is named as an image; one of another kind is counted."""
        # A link to nothing is taken: that it cannot be read is an error to report.
        if is_image_path(file) or (format_name(file) is not None and not file.exists()):
            return True
        if not file.name.startswith("."):
            self._others[file.suffix or "without a suffix"] += 1
        return False

    def _leaves_out(self, folder: Path, top: Path) -> bool:
        """Return whether a folder below `top` holds results, of this output or an earlier one."""
        if folder not in self._kept and folder not in self._left_out:
            if self._is_out(folder):
                self._left_out[folder] = ""
            elif _has_results(folder, top):
                self._left_out[folder] = (
                    f"left out, since it has results of the images in {top}; "
                    "give this folder alone if its images are meant too"
                )
            else:
                self._kept.add(folder)
        return folder in self._left_out

    def _leads_back(self, folder: Path, seen: list[Path]) -> bool:
        """Return whether a link leads to where the search goes, or comes from, anyway."""
        if not folder.is_symlink():
            return False
        real = Path(os.path.realpath(folder))
        if any(real.is_relative_to(path) for path in seen):
            return True
        if seen[0].is_relative_to(real):
            self._left_out[folder] = f"left out, since it links to {real}, which is above"
            return True
        seen.append(real)
        return False

    def _is_out(self, folder: Path) -> bool:
        return self._out.exists() and folder.exists() and self._out.samefile(folder)

    def _note_unreadable(self, error: OSError) -> None:
        self._left_out[Path(error.filename)] = f"left out: {error.strerror}"


def _has_results(folder: Path, top: Path) -> bool:
    """Return whether all images of a folder stand for those of `top`, as results do.

    They have the names of results, in the same folders, are not older, and are no copies. Estimates
    have their tables.
    """
    if all((folder / f"estimates{suffix}").is_file() for suffix in (".csv", ".json")):
        return True
    found = False
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            result = Path(here, name)
            if not is_image_path(result):
                continue
            images = possible_sources(top / result.relative_to(folder))
            if not any(_is_made_of(result, image) for image in images):
                return False
            found = True
        folders[:] = [name for name in folders if not is_image_path(Path(here, name))]
    return found


def _is_made_of(result: Path, image: Path) -> bool:
    if not is_image_path(image) or _times(result)[0] < _times(image)[0]:
        return False
    return result.is_dir() or not filecmp.cmp(result, image, shallow=False)


def _fixed_part(pattern: Path) -> Path:
    """Return the folders of a pattern before its first wildcard."""
    parts = list(pattern.parts)
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not is_image_path(path)


def _refuse_clashes(jobs: Sequence[Job], images: set[str]) -> None:
    taken: dict[str, Path] = {}
    for job in jobs:
        target = os.path.realpath(job.target)
        if target in images:
            raise InputError(
                f"the result of {job.path} would overwrite the input {job.target}; "
                "give another file or folder with -o"
            )
        other = taken.setdefault(target, job.path)
        if other is not job.path:
            raise InputError(
                f"{other} and {job.path} would both become {job.target}; "
                "give the folder above them, so that its structure is kept"
            )


def _is_empty(path: Path) -> bool:
    return not any(path.iterdir()) if path.is_dir() else path.stat().st_size == 0


def _times(path: Path) -> tuple[int, int]:
    """Return when an image was last written and last changed on the disk, in nanoseconds.

    For folders these are the newest of the files right inside, and of the folder for the change.
    """
    own = path.stat()
    # Renaming a folder into place leaves the times of what is inside, copying pixels does not.
    inside = [entry.stat() for entry in os.scandir(path)] if path.is_dir() else []
    written = max(each.st_mtime_ns for each in inside or [own])
    return written, max(each.st_ctime_ns for each in (own, *inside))
