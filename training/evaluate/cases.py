"""The images that `evaluate` measures on: pairs of files, and clean ones degraded by seeds."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_baryir.errors import DataError, InputError
from napari_baryir.files import is_image_path
from napari_baryir.imaging.axes import PlaneLayout
from napari_baryir.training.data import images
from napari_baryir.training.degradations import check_domain, degradations_of, degrade
from napari_baryir.training.degradations.photo import SIGMA_MAX, SIGMA_MIN, noise_level

PHOTO_SIGMAS = (15.0, 25.0, 50.0)
"""Standard deviations (of 255) at which photographic noise is reported, as in the literature."""

PAIRS = "pairs"
"""The domain of pairs from files, whose degradation is not known."""


@dataclass(frozen=True)
class Pair:
    """A degraded image and the truth."""

    degraded: NDArray[Any]
    """The image that `restore` gets: any dtype and units."""
    clean: NDArray[Any]
    """Same shape and units."""
    axes: str
    level: float | None = None
    """Strength of the degradation from 0 to 1, where it is known."""
    sigma: float | None = None
    """Standard deviation of the noise in the units of `degraded`, where it is known."""


class Case(Protocol):
    """One image to measure on, not yet read: its name and domain in reports."""

    @property
    def name(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def noisy(self) -> bool:
        """Return whether denoisers make sense as peers."""

    def load(self) -> Pair:
        """Return the pair; it is read here, and degraded where it has to be."""


@dataclass(frozen=True)
class FileCase:
    """A degraded file and a clean one."""

    name: str
    degraded: Path
    clean: Path
    domain: str = PAIRS
    noisy: bool = True

    def load(self) -> Pair:
        """Read both files; `DataError` if they differ in shape or axes."""
        degraded, axes = images.read_pixels(self.degraded)
        clean, clean_axes = images.read_pixels(self.clean)
        if degraded.shape != clean.shape or axes != clean_axes:
            raise DataError(
                f"{self.degraded} is {axes} of shape {degraded.shape}, but {self.clean} is "
                f"{clean_axes} of shape {clean.shape}; a pair must agree"
            )
        return Pair(degraded, clean, axes)


@dataclass(frozen=True)
class SyntheticCase:
    """A plane of a clean file, and how to degrade it."""

    path: Path
    plane: int
    planes: int
    """Number of planes in the file."""
    profile: str
    degradation: str
    """A name in ``DEGRADATIONS[profile]``, or "clean"."""
    level: float | None
    sigma: float | None
    """Standard deviation of 255, for photographic noise, instead of `level`."""
    seed: int
    test_set: str | None = None
    """The name in reports instead of that of the degradation."""

    @property
    def name(self) -> str:
        """Return the file name, and the plane's number where there are several."""
        return self.path.name if self.planes == 1 else f"{self.path.name}[{self.plane}]"

    @property
    def domain(self) -> str:
        """Return the name of the degradation, with sigma where that is fixed."""
        return self.test_set or self._key

    @property
    def _key(self) -> str:
        return self.degradation if self.sigma is None else f"{self.degradation} {self.sigma:g}"

    @property
    def noisy(self) -> bool:
        """Return whether the degradation is noise."""
        return self.degradation == "noise"

    def load(self) -> Pair:
        """Read the plane and degrade it; the same seed, name and domain give the same pair."""
        clean = read_clean(self.path, self.profile)[self.plane]
        rng = case_rng(self.seed, self.name, self._key)
        level = self.level if self.sigma is None else noise_level(self.sigma)
        degraded = degrade(clean, self.degradation, rng, profile=self.profile, level=level)
        sigma = None if self.sigma is None else self.sigma / 255
        axes = "YXS" if self.profile == "photo" else "YX"
        return Pair(degraded.image, clean, axes, degraded.level, sigma)


def case_rng(seed: int, name: str, domain: str) -> np.random.Generator:
    """Seed by names, so that adding images or leaving out domains changes no other case."""
    return np.random.default_rng((seed, zlib.crc32(f"{name}\n{domain}".encode())))


def list_pairs(degraded: Path, clean: Path, *, limit: int | None = None) -> list[FileCase]:
    """Pair the files of two folders by their names without suffixes, or two files.

    Raises `DataError` if there is nothing to pair, one is a file and the other a folder, or a
    degraded file has no or more than one clean partner.
    """
    folders = [_is_plain_folder(path) for path in (degraded, clean)]
    if not any(folders):
        return [FileCase(degraded.name, degraded, clean)]
    if not all(folders):
        raise DataError(
            f"of {degraded} and {clean} one is an image and one is a folder; "
            "give two folders, or two images"
        )
    chosen = images.spread(images.find_images(degraded), limit)
    first, second = (
        [(images.bare_name(str(path.relative_to(root))), str(path), path) for path in paths]
        for paths, root in ((chosen, degraded), (images.find_images(clean), clean))
    )
    names = str(degraded), str(clean)
    pairs, problems = images.pair_by_key(first, second, names, all_clean=False)
    if problems:
        raise DataError("\n".join(problems))
    return [FileCase(x.relative_to(degraded).as_posix(), x, y) for x, y in pairs]


def list_synthetic(
    paths: Iterable[Path],
    *,
    profile: str = "photo",
    domains: Sequence[str] | None = None,
    sigmas: Sequence[float] = PHOTO_SIGMAS,
    level: float | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> list[SyntheticCase]:
    """List what clean files, and those in folders, become under each degradation.

    `profile` is "photo" or "microscopy", whose stacks and channels are cut into planes. `domains`
    are names of degradations; None for all of the profile. Photographic noise has a case for each
    of `sigmas` (of 255), unless `level` is given: 0 (mildest) to 1 (strongest), None draws it for
    every case. At most `limit` clean planes are listed, spread evenly over all.

    Raises `InputError` if the profile, a domain, a sigma or the level is not one of ours, and
    `DataError` if there are no images, or one cannot be used.
    """
    chosen = _check_choice(profile, domains, sigmas, level)
    planes: list[tuple[Path, int, int]] = []
    for path in list_files(paths):
        count = len(read_clean(path, profile))
        planes.extend((path, plane, count) for plane in range(count))
    cases = []
    for path, plane, count in images.spread(planes, limit):
        for domain in chosen:
            fixed = profile == "photo" and domain == "noise" and level is None
            for sigma in sigmas if fixed else (None,):
                cases.append(SyntheticCase(path, plane, count, profile, domain, level, sigma, seed))
    return cases


def _check_choice(
    profile: str, domains: Sequence[str] | None, sigmas: Sequence[float], level: float | None
) -> list[str]:
    known = degradations_of(profile)
    chosen = list(known if domains is None else domains)
    for domain in chosen:
        check_domain(domain, profile)
    if level is not None and not 0 <= level <= 1:
        raise InputError(f"level {level} is outside 0 (mildest) to 1 (strongest)")
    outside = [sigma for sigma in sigmas if not SIGMA_MIN <= sigma <= SIGMA_MAX]
    if outside:
        raise InputError(f"sigma {outside[0]:g} is outside {SIGMA_MIN:g} to {SIGMA_MAX:g} of 255")
    return chosen


def list_files(paths: Iterable[Path]) -> list[Path]:
    """List files, and the images of folders."""
    return [
        path
        for given in paths
        for path in (images.find_images(given) if _is_plain_folder(given) else [given])
    ]


def _is_plain_folder(path: Path) -> bool:
    """Return whether a path is a folder of images, not an OME-Zarr, which is one image."""
    if not path.exists():
        raise DataError(f"there is no {path}; give a folder of images, or a file")
    return path.is_dir() and not is_image_path(path)


@lru_cache(maxsize=1)  # the cases of one file follow each other
def read_clean(path: Path, profile: str) -> list[NDArray[np.float32]]:
    """Read the planes of a clean file, as `clean_planes`; of photographs there is one."""
    array, axes = images.read_pixels(path)
    layout = PlaneLayout.of(array, axes)
    if profile == "photo" and not (layout.rgb and layout.planes == 1):
        raise DataError(
            f"{path} is {axes} of shape {array.shape}, not one RGB photograph; "
            "take it out, or use the microscopy profile"
        )
    return images.clean_planes(array, axes, profile)
