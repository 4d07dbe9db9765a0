"""A user's images for training and evaluation: listed, paired, read and cut into planes."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import DataError, InputError
from napari_baryir.files import images_inside, is_image_path, read_image
from napari_baryir.files.formats import FORMATS, known_suffixes
from napari_baryir.files.reading import damage_reported
from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.imaging.intensity import IntensityMap, choose_intensity
from napari_baryir.training.degradations.fields import Array

Item = TypeVar("Item")
Files = Sequence[Sequence[NDArray[np.generic]]]
"""Planes by file."""
Profile = Literal["photo", "microscopy"]

SMALLEST_PLANE = 64
"""Shortest side of the microscopy planes that are trained on, pixels."""
MOST_PROBLEMS = 40
"""A message lists this many problems before it counts the rest."""
WHITEST = 1.25
"""Top of clean planes: spots clipped at 1 would teach that bright things are flat."""


def image_paths(folder: Path) -> list[Path]:
    """List the images of a folder and the folders in it by name, with OME-Zarrs and scenes."""
    found: list[Path] = []
    for here, folders, files in os.walk(folder):
        inside = Path(here)
        for path in (inside / name for name in (*folders, *files)):
            found += images_inside(path) if is_image_path(path) else []
        # An OME-Zarr is one image; folders whose names begin with a dot are not the user's.
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not is_image_path(inside / name)
        ]
    return sorted(found)


def find_images(folder: Path) -> list[Path]:
    """List the images of a folder as `image_paths` does; `DataError` where there are none."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; give a folder of images")
    found = image_paths(folder)
    if not found:
        raise DataError(
            f"no images in {folder}; put files in it that end in one of {known_suffixes()}, "
            "or give another folder"
        )
    return found


def bare_name(name: str) -> str:
    """Return a name without the suffix of its format, ``.ome`` included."""
    bare = Path(name).with_suffix("")
    return (bare.with_suffix("") if bare.suffix.lower() == ".ome" else bare).as_posix()


def pair_by_key(
    degraded: Iterable[tuple[Hashable, str, Item]],
    clean: Iterable[tuple[Hashable, str, Item]],
    sides: tuple[str, str],
    *,
    all_clean: bool = True,
) -> tuple[list[tuple[Item, Item]], list[str]]:
    """Pair images, given as (key, name, image), by equal keys; list what cannot be paired.

    Messages name both `sides`. `all_clean`: a clean image without a degraded one is a problem.
    """
    partners: dict[Hashable, list[tuple[str, Item]]] = {}
    for key, name, image in clean:
        partners.setdefault(key, []).append((name, image))
    pairs, problems = [], []
    for key, name, image in degraded:
        found = partners.pop(key, [])
        if len(found) == 1:
            pairs.append((image, found[0][1]))
        elif found:
            names = ", ".join(other for other, _ in found)
            problems.append(f"{name} could be paired with {names}; keep one of them")
        else:
            problems.append(
                f"{name} has no partner in {sides[1]}; "
                "add the clean image of that name, or take it out"
            )
    problems += [
        f"{name} has no partner in {sides[0]}; add the degraded image of that name, or take it out"
        for left in (partners.values() if all_clean else ())
        for name, _ in left
    ]
    return pairs, problems


def listed(names: Sequence[str], most: int) -> str:
    """Name the first few of many, and count the rest."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def refuse(problems: Sequence[str], what: str, advice: str = "") -> None:
    """Raise one `DataError` that names every problem; nothing if there is none."""
    if not problems:
        return
    rest = len(problems) - MOST_PROBLEMS
    lines = [f"- {problem}" for problem in problems[:MOST_PROBLEMS]]
    lines += [f"- and {rest} more"] * (rest > 0) + [advice] * bool(advice)
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise DataError("\n".join([f"{count} with {what}:", *lines]))


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """Choose at most `limit` items, the first and the last among them, evenly between."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, limit)]


def read_pixels(path: Path) -> tuple[NDArray[Any], str]:
    """Read the pixels and axes of an image into memory.

    Raises `InputError` if the file is missing, damaged or of a kind that is not supported.
    """
    # Lazy pixels are read here, and damage may show only then.
    with read_image(path) as image, damage_reported(path, FORMATS[image.format].title):
        return np.asarray(image.data), image.axes


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit RGB photograph, (H, W, 3); raise `DataError` if it is none."""
    array, axes = _read(path)
    if array.dtype != np.uint8 or axes != "YXS" or array.shape[2] not in (3, 4):
        raise DataError(
            f"{path} is {array.dtype} {axes} of shape {array.shape}; "
            "photographs must be 8-bit RGB; convert it or take it out"
        )
    return array[..., :3]


def _read(path: Path) -> tuple[NDArray[Any], str]:
    try:
        return read_pixels(path)
    except (InputError, OSError) as error:
        raise DataError(f"cannot read {error}; repair it or take it out") from error


def cut_planes(array: NDArray[Any], axes: str) -> Iterator[NDArray[Any]]:
    """Cut an image of any axes into (H, W) or, for RGB, (H, W, 3) planes, without alpha."""
    layout = PlaneLayout.of(array, axes)
    for plane in range(layout.planes):
        values = layout.read(array, plane)[..., : layout.colours]
        yield values if layout.rgb else values[..., 0]


def channel_maps(array: NDArray[Any], axes: str) -> list[IntensityMap]:
    """Choose the map to [0, 1] of each channel, as `restore` does."""
    layout = PlaneLayout.of(array, axes)
    return [
        choose_intensity(layout.channel_values(array, channel), rgb=layout.rgb)
        for channel in range(layout.channels)
    ]


def map_planes(array: NDArray[Any], axes: str, maps: Sequence[IntensityMap]) -> list[Array]:
    """Cut an image into planes, each mapped by its channel's map."""
    layout = PlaneLayout.of(array, axes)
    planes = enumerate(cut_planes(array, axes))
    return [maps[layout.channel(number)].apply(values) for number, values in planes]


def clean_planes(
    array: NDArray[Any],
    axes: str,
    profile: str,
    *,
    whole: NDArray[Any] | None = None,
    one_map: bool = False,
) -> list[Array]:
    """Cut a clean image into planes about [0, 1]: (H, W, 3) photographs, (H, W) microscopy.

    `whole` is the image that `array` is a part of, which decides the map to [0, 1]; None: `array`.
    With `one_map` all channels go through one.
    """
    layout, seen = PlaneLayout.of(array, axes), array if whole is None else whole
    if not layout.rgb:  # percentiles, for 8 bits too
        seen = seen.astype(np.float32)
    if one_map and layout.samples == 1:
        maps = [choose_intensity(seen, rgb=False)] * layout.channels
    else:
        maps = channel_maps(seen, axes)
    return [as_clean(plane, profile) for plane in map_planes(array, axes, maps)]


def as_clean(plane: Array, profile: str) -> Array:
    """Bring a plane about [0, 1] to the colours and the range of clean ones."""
    if profile == "photo":
        return np.clip(three_colours(plane), 0, 1)
    grey = plane.mean(axis=-1, dtype=np.float32) if plane.ndim == 3 else plane
    return np.clip(grey, 0, WHITEST)


def three_colours(plane: Array) -> Array:
    """Repeat a grey plane as three equal colours, (H, W) to (H, W, 3)."""
    return plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)


def load_clean_images(folder: str, profile: Profile) -> list[NDArray[np.generic]]:
    """Read all planes of `load_clean_files` into one list."""
    return [plane for planes in load_clean_files(folder, profile) for plane in planes]


def load_clean_files(folder: str, profile: Profile) -> list[list[NDArray[np.generic]]]:
    """Read the clean images of a folder, recursively, or scikit-image's ("skimage"): planes by
    file.

    Photographs are (H, W, 3) uint8. Microscopy is cut into planes (H, W), float32, each stack
    mapped to about [0, 1] by its robust percentiles; planes with a side below `SMALLEST_PLANE` are
    left out. Raises `DataError` if the folder is missing, or an image cannot be read, or none can
    be used.
    """
    if folder == "skimage":
        return _bundled(profile)
    paths = find_images(Path(folder))
    if profile == "photo":
        return [[read_photo(path)] for path in paths]
    read = (clean_planes(*_read(path), profile, one_map=True) for path in paths)
    large = ([p for p in planes if min(p.shape) >= SMALLEST_PLANE] for planes in read)
    files: list[list[NDArray[np.generic]]] = [[*planes] for planes in large if planes]
    if not files:
        raise DataError(
            f"no plane in {folder!r} has {SMALLEST_PLANE} pixels or more on both sides; "
            "give larger images, and check the axes in the files"
        )
    return files


def _bundled(profile: Profile) -> list[list[NDArray[np.generic]]]:
    from skimage import data

    if profile == "photo":
        return [[data.astronaut()], [data.coffee()], [data.chelsea()], [data.rocket()]]
    # Those that are in scikit-image's wheel; the others it would have to download. Stained
    # tissue is dark on bright: turned round, it is like fluorescence.
    images = (data.cell(), 255 - data.immunohistochemistry()[..., 1], data.microaneurysms())
    return [[*clean_planes(image, "YX", profile)] for image in images]


def middle(shape: tuple[int, ...], side: int) -> tuple[slice, slice]:
    """Index the middle of an image: `side` pixels at most, multiples of 8."""
    top, left = (max(s - side, 0) // 2 for s in shape[:2])
    height, width = (min(s, side) // 8 * 8 for s in shape[:2])
    return slice(top, top + height), slice(left, left + width)


def random_square(
    image: NDArray[np.generic], side: int, rng: np.random.Generator
) -> NDArray[np.generic]:
    """Cut out a random square; images smaller than it are first reflected."""
    missing = [max(side - s, 0) for s in image.shape[:2]]
    if any(missing):
        margins = [(m // 2, m - m // 2) for m in missing] + [(0, 0)] * (image.ndim - 2)
        image = np.pad(image, margins, mode="symmetric")
    top, left = (int(rng.integers(s - side + 1)) for s in image.shape[:2])
    return image[top : top + side, left : left + side]


def random_patch(
    image: NDArray[np.generic], side: int, rng: np.random.Generator
) -> NDArray[np.generic]:
    """Cut out a `random_square` in one of its eight orientations."""
    return turn(random_square(image, side, rng), int(rng.integers(8)))


def random_plane(files: Files, rng: np.random.Generator) -> NDArray[np.generic]:
    """Draw a plane; each file as often, so that a long stack does not decide alone."""
    planes = files[int(rng.integers(len(files)))]
    return planes[int(rng.integers(len(planes)))]


def turn(image: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Turn a square to one of its eight orientations; 0 leaves it untouched."""
    image = np.rot90(image, orientation % 4)
    return image[:, ::-1] if orientation >= 4 else image
