"""Degradations of photographs that training never sees, to measure how a network generalises.

Types that no recipe trains on (JPEG, salt and pepper, snow), and noise beyond training's levels.
Mixtures of two domains are a group of their own: the later stages of the compact recipes train on
such (`in_turn`). All are seeded and end as 8-bit values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_baryir.errors import InputError
from napari_baryir.training.data.images import spread
from napari_baryir.training.degradations import degrade
from napari_baryir.training.degradations.fields import Array, line_kernel
from napari_baryir.training.degradations.files import FileFormat, from_bytes, through_file, to_bytes
from napari_baryir.training.degradations.photo import noise_level
from napari_baryir.training.evaluate.cases import Pair, case_rng, list_files, read_clean

QUALITIES = (10, 20, 30, 40)
"""Qualities of JPEG, as in Pillow (libjpeg's scale)."""
SIGMAS = (60.0, 75.0)
"""Standard deviations of Gaussian noise, of 255: beyond training's `degradations.SIGMA_MAX`."""
SALT_AND_PEPPER = 0.05
"""Share of the pixels that turn black or white."""
MIXTURE_LEVEL = 0.5
"""Level of each of the two degradations in a mixture."""


def jpeg(image: Array, rng: np.random.Generator, *, quality: int) -> Array:
    """Compress as JPEG (4:2:0, Pillow's default) and decompress; (H, W[, 3]) in [0, 1]."""
    return through_file(image, FileFormat(quality, subsampling=-1))


def gaussian_noise(image: Array, rng: np.random.Generator, *, sigma: float) -> Array:
    """Add white Gaussian noise of a standard deviation (of 255); beyond training's too."""
    return degrade(image, "noise", rng, level=noise_level(sigma)).image


def salt_and_pepper(image: Array, rng: np.random.Generator, *, share: float) -> Array:
    """Turn a share of the pixels black or white, all colours of a pixel together."""
    drawn = rng.random(image.shape[:2])
    spoilt = image.copy()
    spoilt[drawn < share] = 1
    spoilt[drawn < share / 2] = 0
    return spoilt


def banding(image: Array, rng: np.random.Generator, *, steps: int) -> Array:
    """Leave ``steps + 1`` grey values of each colour; (H, W[, 3]) in [0, 1]."""
    return (np.rint(np.clip(image, 0, 1) * steps) / steps).astype(np.float32)


def snow(image: Array, rng: np.random.Generator) -> Array:
    """Add flakes of three sizes that fall slantwise, and a thin veil; after Snow100K's model."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.float32)
    angle = rng.uniform(-25, 25)
    for radius, density in ((0.6, 4e-3), (1.2, 1.2e-3), (2.5, 2.5e-4)):
        flakes = (rng.random((height, width)) < density) * rng.uniform(0.6, 1, (height, width))
        layer = ndimage.gaussian_filter(flakes, radius) * (2 * np.pi * radius**2)
        fall = line_kernel(2 + 2 * radius, 90 + angle, 0.6)
        layer = ndimage.convolve(np.minimum(layer, 1), fall / fall.max(), mode="constant")
        mask = np.maximum(mask, layer.astype(np.float32))
    veil = np.float32(rng.uniform(0.05, 0.15))
    hazy = image * (1 - veil) + veil
    opaque = np.clip(mask, 0, 1)[..., None]
    return hazy * (1 - opaque) + np.float32(0.95) * opaque


def mixture(image: Array, rng: np.random.Generator, *, domains: tuple[str, str]) -> Array:
    """Apply two degradations of training, one after the other."""
    for domain in domains:
        image = degrade(image, domain, rng, level=MIXTURE_LEVEL).image
    return image


Degrade = Callable[[Array, np.random.Generator], Array]

UNSEEN: Mapping[str, Degrade] = {
    **{f"jpeg {q}": partial(jpeg, quality=q) for q in QUALITIES},
    **{f"noise {s:g}": partial(gaussian_noise, sigma=s) for s in SIGMAS},
    "salt and pepper": partial(salt_and_pepper, share=SALT_AND_PEPPER),
    "snow": snow,
}
"""Name to degradation of a photograph, (H, W, 3) float32 in [0, 1], that no recipe trains on."""

MIXTURES: Mapping[str, Degrade] = {
    f"mixture {first} + {second}": partial(mixture, domains=(first, second))
    for first, second in (
        ("rain", "noise"),
        ("haze", "noise"),
        ("haze", "rain"),
        ("low light", "blur"),
    )
}
"""The same for two degradations of training at once."""

DRAWN: Mapping[str, Degrade] = {
    "JPEG": lambda image, rng: jpeg(image, rng, quality=int(rng.integers(8, 21))),
    "salt and pepper": lambda image, rng: salt_and_pepper(
        image, rng, share=rng.uniform(0.02, 0.10)
    ),
    "banding": lambda image, rng: banding(image, rng, steps=int(rng.integers(3, 7))),
}
"""Types that no recipe trains on, of a strength that is drawn, for images of any kind, (H, W[, 3]):
JPEG of quality 8 to 20, 2 to 10 % salt and pepper, 4 to 7 grey values."""

ALL: Mapping[str, Degrade] = {**UNSEEN, **MIXTURES}
"""Both groups."""


@dataclass(frozen=True)
class UnseenCase:
    """A clean photograph, and which of `UNSEEN` or `MIXTURES` it suffers."""

    path: Path
    domain: str
    seed: int

    @property
    def name(self) -> str:
        """Return the file name."""
        return self.path.name

    @property
    def noisy(self) -> bool:
        """Return whether the degradation is Gaussian noise alone, which the peers are for."""
        return self.domain.startswith("noise ")

    def load(self) -> Pair:
        """Read and degrade; the same seed, name and domain give the same pair."""
        (clean,) = read_clean(self.path, "photo")
        image = ALL[self.domain](clean, case_rng(self.seed, self.name, self.domain))
        sigma = float(self.domain.split()[1]) / 255 if self.noisy else None
        return Pair(from_bytes(to_bytes(image)), clean, "YXS", None, sigma)


def list_unseen(
    given: Iterable[Path],
    *,
    domains: Sequence[str] | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> list[UnseenCase]:
    """List what clean photographs become under degradations never seen, and under mixtures.

    `domains` are names in `UNSEEN` and `MIXTURES`; None for all. At most `limit` photographs are
    taken, spread evenly over all. Raises `InputError` if a domain is not among them, and
    `DataError` if there are no images, or one is not an RGB photograph.
    """
    unknown = [name for name in domains or () if name not in ALL]
    if unknown:
        raise InputError(
            f"no unseen degradation or mixture {', '.join(unknown)}; use one of {', '.join(ALL)}"
        )
    paths = spread(list_files(given), limit)
    for path in paths:
        read_clean(path, "photo")  # refuses what is not a photograph before work is spent
    return [UnseenCase(path, domain, seed) for domain in domains or ALL for path in paths]
