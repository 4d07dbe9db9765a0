"""The user's own images for fine-tuning: found, paired, read and checked before any step.

Everything that is wrong with them is gathered and told at once, with what to do about it.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import BaryIRError, DataError
from napari_baryir.files import is_image_path, read_image
from napari_baryir.files.formats import FORMATS, known_suffixes, require_format
from napari_baryir.files.reading import damage_reported
from napari_baryir.imaging.axes import PlaneLayout, guess_axes

SMALLEST_SIDE = 32
"""Pixels. Patches smaller than this hold less than 4 x 4 cells of the latent grid."""

MAX_PROBLEMS_LISTED = 40
"""A message lists this many problems before it counts the rest."""


@dataclass(frozen=True, eq=False)
class UserImage:
    """An image of the user's, a file or an array (a layer's, say), not yet read."""

    name: str
    """For messages and the model card."""
    path: Path | None = None
    """Where it is read from; None: `array` holds it."""
    array: Any = None
    """Of any real dtype and 2 to 6 dimensions."""
    axes: str | None = None
    """Of `array`; None: guessed."""

    @classmethod
    def of_path(cls, path: str | os.PathLike[str]) -> UserImage:
        """A file."""
        return cls(os.fspath(path), Path(path))

    def read(self) -> tuple[NDArray[Any], str]:
        """Pixels and axes.

        Raises
        ------
        InputError
            If the file is missing or damaged, or the axes do not fit.
        """
        if self.path is not None:
            title = FORMATS[require_format(self.path)].title
            # Lazy pixels are read here, and damage may show only then.
            with read_image(self.path) as image, damage_reported(self.path, title):
                return np.asarray(image.data), image.axes
        array = np.asarray(self.array)
        axes = guess_axes(array.shape) if self.axes is None else self.axes
        PlaneLayout.of(array, axes)
        return array, axes.upper()


@dataclass(frozen=True)
class Opened:
    """An image that was read and found usable."""

    name: str
    array: NDArray[Any]
    axes: str
    whole: Opened | None = None
    """The image that it is a part of, whose intensities it is seen with."""

    @property
    def layout(self) -> PlaneLayout:
        """Its planes."""
        return PlaneLayout.of(self.array, self.axes)


def list_images(folder: str | os.PathLike[str]) -> tuple[list[UserImage], list[str]]:
    """List the images of a folder and the folders in it, OME-Zarrs too, and what is wrong."""
    root = Path(folder)
    if not root.is_dir():
        what = "is a file" if root.exists() else "is not there"
        return [], [f"{root} {what}; give a folder of images"]
    found: list[Path] = []
    for here, folders, files in os.walk(root):
        inside = Path(here)
        found += [inside / name for name in (*folders, *files) if is_image_path(inside / name)]
        # An OME-Zarr is one image; names that begin with a dot are somebody's notes.
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not is_image_path(inside / name)
        ]
    if not found:
        return [], [
            f"{root} has no images; put files in it that end in one of {known_suffixes()}, "
            "or give another folder"
        ]
    return [UserImage(p.relative_to(root).as_posix(), p) for p in sorted(found)], []


def pair_by_name(
    degraded: Sequence[UserImage], clean: Sequence[UserImage], places: tuple[str, str]
) -> tuple[list[tuple[UserImage, UserImage]], list[str]]:
    """Pair images whose names are equal but for the suffix; both sides' leftovers are problems."""
    return _match(
        [(_bare(image.name), image) for image in degraded],
        [(_bare(image.name), image) for image in clean],
        places,
    )


def pair_by_pattern(
    images: Sequence[UserImage], patterns: tuple[str, str]
) -> tuple[list[tuple[UserImage, UserImage]], list[str]]:
    """Pair images of one folder: what the one * of each pattern stands for must be equal."""
    wrong = [pattern for pattern in patterns if pattern.count("*") != 1]
    if wrong:
        return [], [
            f"pattern {pattern!r} has {pattern.count('*')} stars; write one, where the names of a "
            "pair agree, for example '*_low.tif' and '*_high.tif'"
            for pattern in wrong
        ]
    sides = []
    for pattern in patterns:
        head, tail = pattern.split("*")
        sides.append(
            [
                (image.name[len(head) : len(image.name) - len(tail)], image)
                for image in images
                if len(image.name) >= len(head) + len(tail)
                and fnmatch.fnmatchcase(image.name, pattern)
            ]
        )
    empty = [p for p, side in zip(patterns, sides, strict=True) if not side]
    if empty:
        return [], [
            f"no image is named {p}; the folder has {images[0].name if images else 'none'}"
            for p in empty
        ]
    return _match(sides[0], sides[1], patterns)


def _match(
    degraded: Iterable[tuple[str, UserImage]],
    clean: Iterable[tuple[str, UserImage]],
    places: tuple[str, str],
) -> tuple[list[tuple[UserImage, UserImage]], list[str]]:
    partners: dict[str, list[UserImage]] = {}
    for key, image in clean:
        partners.setdefault(key, []).append(image)
    pairs, problems = [], []
    for key, image in degraded:
        found = partners.pop(key, [])
        if len(found) == 1:
            pairs.append((image, found[0]))
        elif found:
            names = ", ".join(other.name for other in found)
            problems.append(f"{image.name} could be paired with {names}; keep one of them")
        else:
            problems.append(
                f"{image.name} has no partner in {places[1]}; "
                "add the clean image of that name, or take it out"
            )
    problems += [
        f"{image.name} has no partner in {places[0]}; "
        "add the degraded image of that name, or take it out"
        for left in partners.values()
        for image in left
    ]
    return pairs, problems


def open_image(image: UserImage, problems: list[str]) -> Opened | None:
    """Read an image; what makes it useless is added to `problems`, and None returned."""
    try:
        array, axes = image.read()
        layout = PlaneLayout.of(array, axes)
    except (BaryIRError, OSError) as error:
        text = str(error)
        named = text if image.name in text else f"{image.name}: {text}"
        problems.append(f"{named}; repair it, or take it out")
        return None
    height, width = layout.height, layout.width
    if min(height, width) < SMALLEST_SIDE:
        problems.append(
            f"{image.name} is {height} x {width} pixels, too small to learn from; "
            f"give images of {SMALLEST_SIDE} x {SMALLEST_SIDE} or more"
        )
    elif array.dtype.kind not in "uif":
        problems.append(f"{image.name} is {array.dtype}; save it as integers or floats")
    elif array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        problems.append(
            f"{image.name} has values that are not finite (NaN or infinite); replace them"
        )
    elif array.min() == array.max():
        problems.append(f"{image.name} is {array.flat[0]} everywhere; take it out")
    else:
        return Opened(image.name, array, axes)
    return None


def pair_problem(degraded: Opened, clean: Opened) -> str | None:
    """Say why two images cannot be a pair; None if they can."""
    a, b = degraded.layout, clean.layout
    if a.rgb != b.rgb:
        kinds = ["RGB" if layout.rgb else "grey" for layout in (a, b)]
        return (
            f"{degraded.name} is {kinds[0]} but its partner {clean.name} is {kinds[1]}; "
            "convert one of them"
        )
    # Alpha is not compared: it is not used.
    if (a.height, a.width, a.outer_shape) != (b.height, b.width, b.outer_shape):
        return (
            f"{degraded.name} is {degraded.axes} of shape {a.shape} but its partner {clean.name} "
            f"is {clean.axes} of shape {b.shape}; crop or resize them, so that pixel lies on pixel"
        )
    if degraded.array.shape == clean.array.shape and np.array_equal(degraded.array, clean.array):
        return (
            f"{degraded.name} and its partner {clean.name} are equal, so that there is nothing to "
            "learn; check which folder is which"
        )
    return None


def colour_problem(images: Sequence[Opened]) -> str | None:
    """Say which images are of another kind than most."""
    rgb = [image.layout.rgb for image in images]
    if not images or all(rgb) or not any(rgb):
        return None
    most = sum(rgb) * 2 >= len(rgb)
    odd = [image.name for image, is_rgb in zip(images, rgb, strict=True) if is_rgb != most]
    shown = ", ".join(odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
    return (
        f"{shown}: {'grey' if most else 'RGB'}, but the others are {'RGB' if most else 'grey'}; "
        "fine-tune on one kind at a time"
    )


def refuse(problems: Sequence[str]) -> None:
    """Raise one `DataError` that names every problem; nothing if there is none."""
    if not problems:
        return
    shown = list(problems[:MAX_PROBLEMS_LISTED])
    rest = len(problems) - len(shown)
    lines = [f"- {problem}" for problem in shown] + [f"- and {rest} more"] * (rest > 0)
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise DataError("\n".join([f"{count} with the images for fine-tuning:", *lines]))


def _bare(name: str) -> str:
    """A name without the suffix of its format, ``.ome`` included."""
    bare = Path(name).with_suffix("")
    return (bare.with_suffix("") if bare.suffix.lower() == ".ome" else bare).as_posix()
