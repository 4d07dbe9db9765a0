"""Seeded degradations of clean images, for training, evaluation and the samples.

Every degradation is a function of an image, a level and a generator. The level runs from 0
(mildest) to 1 (strongest) and stands for the physical strength named in the function; angles,
positions and tints are drawn from the generator. Photographs end as 8-bit values in [0, 1], as
files hold them. Each domain has a plain variant, which the published tables and our own measure,
and others nearer to what the world does; training draws among all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from napari_baryir.domains import CLEAN
from napari_baryir.errors import InputError
from napari_baryir.training.degradations import microscopy, photo
from napari_baryir.training.degradations.fields import AnyArray, Array, between, disc_kernel
from napari_baryir.training.degradations.files import from_bytes, to_bytes

Apply = Callable[[Array, float, np.random.Generator], AnyArray]
"""Clean image, level and generator to the degraded image."""

PLAIN = "plain"
"""The variant that tables are measured with."""
ANY = "any"
"""Stands for a variant that is drawn."""


@dataclass(frozen=True)
class Degraded:
    """A degraded image and how strongly it was degraded."""

    image: Array
    """Same shape as the clean image; float32."""
    level: float
    """0 (mildest) to 1 (strongest)."""


@dataclass(frozen=True)
class Degradation:
    """One way in which images go bad."""

    apply: Apply
    """The plain variant."""
    summary: str
    """One sentence: its nature and its range of strength."""
    others: Mapping[str, Apply] = field(default_factory=dict)
    """Further variants by name."""

    def variant(self, name: str, rng: np.random.Generator) -> Apply:
        """Return a variant by name, or draw one; raises `InputError` where there is none."""
        if name == PLAIN:
            return self.apply
        if name == ANY:
            # The plain one as often as two others: what tables measure is not forgotten.
            drawn = int(rng.integers(len(self.others) + 2))
            return [*self.others.values(), self.apply, self.apply][drawn]
        if name not in self.others:
            known = [PLAIN, ANY, *self.others]
            raise InputError(f"no variant {name!r} of this degradation; use one of {known}")
        return self.others[name]


def degrade(
    image: Array,
    domain: str,
    rng: np.random.Generator,
    *,
    profile: str = "photo",
    level: float | None = None,
    variant: str = PLAIN,
) -> Degraded:
    """Degrade a clean image, float32: (H, W, 3) in [0, 1] for "photo", (H, W) for "microscopy".

    `domain` is a name in ``DEGRADATIONS[profile]``, or "clean" for none. `level` is 0 (mildest) to
    1 (strongest); None draws it uniformly. `variant` is "plain", the name of another variant, or
    "any" to draw one. Every random choice comes from `rng`. Raises `InputError` if the profile, the
    domain, the variant or the image's shape is not one of these.
    """
    check_domain(domain, profile)
    expected = 3 if profile == "photo" else 2
    if image.ndim != expected:
        raise InputError(
            f"profile {profile!r} degrades images of {expected} dimensions, got shape {image.shape}"
        )
    drawn = float(rng.uniform()) if level is None else float(level)
    if domain == CLEAN:
        return Degraded(image, 0.0)
    result = DEGRADATIONS[profile][domain].variant(variant, rng)(image, drawn, rng)
    seen = from_bytes(to_bytes(result)) if profile == "photo" else result.astype(np.float32)
    return Degraded(seen, drawn)


def degradations_of(profile: str) -> Mapping[str, Degradation]:
    """Return the degradations of a profile by name; raises `InputError` if there is none."""
    if profile not in DEGRADATIONS:
        raise InputError(f"no degradation profile {profile!r}; use one of {sorted(DEGRADATIONS)}")
    return DEGRADATIONS[profile]


def check_domain(domain: str, profile: str) -> None:
    """Raise `InputError` unless a profile has a domain, or it is "clean"."""
    known = [*degradations_of(profile), CLEAN]
    if domain not in known:
        raise InputError(f"no domain {domain!r} in profile {profile!r}; use {', '.join(known)}")


def random_blur(profile: str, rng: np.random.Generator) -> Array:
    """Draw a kernel of a profile's "blur", of a random level: (h, w), odd sides, sums to 1."""
    level = float(rng.random())
    if profile == "photo":
        return photo.blur_kernel(level, rng)
    return disc_kernel(between(*microscopy.DEFOCUS, level))


DEGRADATIONS: Mapping[str, Mapping[str, Degradation]] = {
    "photo": {
        "noise": Degradation(
            photo.noise,
            "white Gaussian noise, sigma 5 to 50 of 255",
            {
                "faint": photo.faint_noise,
                "camera": photo.sensor_noise,
                "developed": photo.developed_noise,
            },
        ),
        "rain": Degradation(
            photo.rain, "bright streaks of rain, sparse to dense", {"deep": photo.deep_rain}
        ),
        "haze": Degradation(
            photo.haze,
            "haze of optical depth 0.4 to 1.8 with a smooth depth map",
            {"scenic": photo.scenic_haze},
        ),
        "blur": Degradation(
            photo.blur,
            "motion over 4 to 16 pixels or defocus of radius 1 to 4",
            {"shake": photo.shaken, "defocus": photo.defocus},
        ),
        "low light": Degradation(
            photo.low_light,
            "exposure 0.24 down to 0.13, with sensor noise",
            {"underexposed": photo.underexposed},
        ),
    },
    "microscopy": {
        "noise": Degradation(
            microscopy.shot_noise,
            "Poisson noise of 400 to 8 photons, with read noise",
            {"camera": microscopy.camera_noise},
        ),
        "blur": Degradation(microscopy.defocus, "defocus of radius 1.5 to 5 pixels"),
        "background": Degradation(
            microscopy.background,
            "out-of-focus light, 0.15 to 0.8 of full scale",
            {"uneven": microscopy.uneven_background},
        ),
        "stripes": Degradation(
            microscopy.stripes,
            "rows or columns with their own offset and gain",
            {"scanned": microscopy.scanned},
        ),
    },
}
"""Profiles, their domains, and how each degrades."""
