"""Data sets of paired files in the layouts that they are published in, looked through at once.

Every mistake of a folder is collected before anything is read, so that a user hears of all of them
together and before any work has started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_baryir.training.data.images import image_paths, listed

SHORTEST_SIDE = 8
"""Pixels; one cell of the latent grid."""
LISTED = 5
"""Files of one kind of mistake that a message names before it counts the rest."""


def before_underscore(stem: str) -> str:
    """Cut at the underscore, as for RESIDE: ``0001_0.8_0.2`` is the haze of ``0001``."""
    return stem.partition("_")[0]


def after_rain(stem: str) -> str:
    """Name the clean file, as for Rain100L: ``rain-001`` is the rain of ``norain-001``."""
    return f"norain-{stem.removeprefix('rain-')}"


@dataclass(frozen=True)
class Layout:
    """The folders of a data set's degraded and clean files."""

    degraded: str
    """Folder, a glob pattern from the root; files below it are found at any depth."""
    clean: str
    """Folder of the clean files, from the folder of the degraded ones; "." for clean files alone,
    to which noise is added: each is its own partner."""
    clean_stem: Callable[[str], str] = str
    """Name (without suffix) of a degraded file to that of its clean one; usually the same."""


@dataclass(frozen=True)
class Published:
    """A data set as it is published."""

    layouts: tuple[Layout, ...]
    """The likeliest first."""
    count: int
    """Its number of pairs."""

    @property
    def folders(self) -> str:
        """Return the folders of degraded files that it may be in, for messages."""
        return " or ".join(layout.degraded for layout in self.layouts)


@dataclass(frozen=True)
class PairPaths:
    """A degraded file and its clean one."""

    degraded: Path
    clean: Path


@dataclass(frozen=True)
class Found:
    """The pairs that a folder holds of a data set, and what is wrong with it."""

    pairs: tuple[PairPaths, ...] = ()
    problems: tuple[str, ...] = ()
    """In words; empty when all is well."""


def find_pairs(root: Path, layouts: Sequence[Layout]) -> Found | None:
    """Look for a data set under any of its layouts, the likeliest first; None if none is there."""
    for layout in layouts:
        folders = sorted(p for p in root.glob(layout.degraded) if p.is_dir())
        if folders:
            return _gather(folders, layout)
    return None


def _gather(folders: Iterable[Path], layout: Layout) -> Found:
    """Pair the files of the folders of one layout."""
    pairs: list[PairPaths] = []
    problems: list[str] = []
    for folder in folders:
        clean = (folder / layout.clean).resolve()
        degraded = image_paths(folder)
        if not degraded:
            problems.append(f"{folder} has no images")
        if layout.clean == ".":
            pairs.extend(PairPaths(path, path) for path in degraded)
            continue
        if not clean.is_dir():
            problems.append(f"{folder} has no clean images beside it: there is no folder {clean}")
            continue
        partners = {path.stem: path for path in image_paths(clean)}
        found, lonely = [], []
        for path in degraded:
            # Where both are in one layout's folder under other names, input/1.png and target/1.png
            # are still a pair.
            partner = partners.get(layout.clean_stem(path.stem)) or partners.get(path.stem)
            if partner is None or partner == path:
                lonely.append(path)
            else:
                found.append(PairPaths(path, partner))
        if lonely:
            names = listed([path.name for path in lonely], LISTED)
            problems.append(f"{len(lonely)} files without a clean one in {clean}: {names}")
        pairs.extend(found)
    return Found(tuple(pairs), tuple(problems))


def set_problems(name: str, found: Found, expected: int, incomplete: bool) -> list[str]:
    """List what is wrong with a data set of `expected` pairs, which may be `incomplete`."""
    problems = [] if incomplete and found.pairs else list(found.problems)
    if not found.pairs:
        problems.append("there is nothing in it")
    elif len(found.pairs) != expected and not incomplete:
        problems.append(f"{len(found.pairs)} files; the published set has {expected}")
    return [f"{name}: {problem}" for problem in (*problems, *_size_problems(found.pairs))]


def _size_problems(pairs: Iterable[PairPaths]) -> Iterator[str]:
    """Name pairs that cannot be used, by the headers of their files."""
    clean_sizes: dict[Path, tuple[int, int] | str] = {}  # many pairs may share a clean file
    for pair in pairs:
        if pair.clean not in clean_sizes:
            clean_sizes[pair.clean] = _size(pair.clean)
            if isinstance(problem := clean_sizes[pair.clean], str):
                yield problem
        if pair.degraded == pair.clean:
            continue
        size, clean_size = _size(pair.degraded), clean_sizes[pair.clean]
        if isinstance(size, str):
            yield size
        elif size != clean_size and not isinstance(clean_size, str):
            yield (
                f"{pair.degraded} is {size[0]} x {size[1]} pixels, but {pair.clean} is "
                f"{clean_size[0]} x {clean_size[1]}"
            )


def _size(path: Path) -> tuple[int, int] | str:
    """Read width and height of an RGB image from its header, or say what is wrong with it."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            size, mode = image.size, image.mode
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        return f"{path} cannot be read ({' '.join(str(error).split())}); repair it or take it out"
    if mode not in ("RGB", "RGBA", "P"):
        return f"{path} is not an RGB image but {mode!r}; give the colour version of the data set"
    if min(size) < SHORTEST_SIDE:
        return (
            f"{path} is {size[0]} x {size[1]} pixels; every side must have {SHORTEST_SIDE} or more"
        )
    return size
