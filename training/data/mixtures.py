"""Degrade training images by one degradation, or by two in turn or beside each other.

Each domain alone is what the barycenter game plays on. Two in turn teach the decoder what real
images are like; their domain cannot be decided, so they belong to none. Two beside each
other, as halves or one as an island in the other, teach the residual to be local: each part
belongs to its own domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_baryir.domains import CLEAN
from napari_baryir.training.degradations import ANY, degrade
from napari_baryir.training.degradations.fields import Array

GRID = 4
"""Parts along each side of a patch that a domain is stated for."""
NO_DOMAIN = -1
"""Stands where no single domain is right."""
STRONGEST_IN_TURN = 0.7
"""Largest level of degradations on top of each other: at full strength little would be left."""
WITH_CLEAN = 0.5
"""Share of the images with two degradations beside each other in which one of the two is clean.
Degradations in one part only are the commonest case, and clean parts beside them must not be
called degraded."""
ISLANDS = 0.5
"""Share of these images with one domain inside of the other, instead of two halves."""

PURE = 0.05
"""A part with less than this share of the other degradation belongs to one alone."""

ORDER = {
    "photo": ("haze", "rain", "low light", "blur", "noise"),
    "microscopy": ("background", "blur", "noise", "stripes"),
}
"""The order in which degradations happen between the scene and the file."""


@dataclass(frozen=True)
class Mixture:
    """The degradations of one image."""

    domains: tuple[str, ...]
    """One domain, or two."""
    kind: Literal["alone", "in turn", "side by side"] = "alone"
    """Side by side: as halves, or one as an island in the other."""


def sample_mixture(
    number: int,
    composition: Mapping[str, int],
    in_turn: int,
    profile: str,
    rng: np.random.Generator,
) -> Mixture:
    """Choose the degradations of sample `number` of a batch: a domain alone, else two."""
    for domain, count in composition.items():
        if number < count:
            return Mixture((domain,))
        number -= count
    return draw_mixture(number < in_turn, list(composition), profile, rng)


def draw_mixture(
    in_turn: bool, domains: list[str], profile: str, rng: np.random.Generator
) -> Mixture:
    """Choose two different domains, to come in turn or side by side.

    In turn neither is clean, and their order is that of `ORDER`. Side by side one of them often is.
    """
    if in_turn:
        domains = [name for name in ORDER[profile] if name in domains]
    chosen = rng.permutation(len(domains))[:2]
    if in_turn:
        chosen.sort()
    elif CLEAN in domains and domains.index(CLEAN) not in chosen and rng.random() < WITH_CLEAN:
        chosen[int(rng.integers(2))] = domains.index(CLEAN)
    first, second = chosen
    return Mixture((domains[first], domains[second]), "in turn" if in_turn else "side by side")


def apply_mixture(
    mixture: Mixture,
    field: Array,
    corner: tuple[int, int],
    patch: int,
    profile: str,
    rng: np.random.Generator,
) -> tuple[Array, NDArray[np.int64]]:
    """Degrade a field of view, (H, W) or (H, W, 3) float32, of which a square patch will be cut.

    `corner` is top and left of the patch in the field; its side is a multiple of `GRID`. Returns
    the degraded field, and for each of GRID x GRID parts of the patch the index of its domain in
    ``mixture.domains``, or `NO_DOMAIN`.
    """
    if mixture.kind == "alone":
        labels = np.zeros((GRID, GRID), np.int64)
        return degrade(field, mixture.domains[0], rng, profile=profile).image, labels
    if mixture.kind == "in turn":
        for domain in mixture.domains:
            level = float(rng.uniform(0, STRONGEST_IN_TURN))
            field = degrade(field, domain, rng, profile=profile, level=level).image
        return field, np.full((GRID, GRID), NO_DOMAIN)
    sides = [degrade(field, domain, rng, profile=profile).image for domain in mixture.domains]
    labels = np.zeros((GRID, GRID), np.int64)
    labels[_island(rng) if rng.random() < ISLANDS else _half(rng)] = 1
    joined = sides[0].copy()
    (top, left), cell = corner, patch // GRID
    inside = np.s_[top : top + patch, left : left + patch]
    taken = labels.repeat(cell, axis=0).repeat(cell, axis=1).astype(bool)
    joined[inside][taken] = sides[1][inside][taken]
    return joined, labels


def _half(rng: np.random.Generator) -> tuple[slice, ...]:
    """Return the parts below or to the right of a line."""
    axis, line = int(rng.integers(2)), int(rng.integers(1, GRID))
    return (slice(None),) * axis + (slice(line, None),)


def _island(rng: np.random.Generator) -> tuple[slice, ...]:
    """Return a rectangle of parts that leaves at least one row and one column free."""
    island = []
    for length in rng.integers(1, GRID, size=2):
        start = int(rng.integers(GRID - length + 1))
        island.append(slice(start, start + int(length)))
    return tuple(island)


class Link(NamedTuple):
    """One degradation of a chain, drawn beforehand: the chain can be repeated without it."""

    domain: str
    level: float
    seed: int


def draw_chain(mixture: Mixture, rng: np.random.Generator) -> list[Link]:
    """Draw the levels and seeds of a mixture's degradations."""
    strongest = STRONGEST_IN_TURN if mixture.kind == "in turn" else 1.0
    return [
        Link(name, float(rng.uniform(0, strongest)), int(rng.integers(2**62)))
        for name in mixture.domains
    ]


def apply_chain(field: Array, chain: Sequence[Link], profile: str) -> Array:
    """Degrade a field by every link of a chain, in any of the variants of each domain."""
    for domain, level, seed in chain:
        rng = np.random.default_rng(seed)
        field = degrade(field, domain, rng, profile=profile, level=level, variant=ANY).image
    return field


def draw_join(
    shape: tuple[int, int], corner: tuple[int, int], patch: int, rng: np.random.Generator
) -> Array:
    """Draw where two degradations of a field join: anywhere, at any angle, hard or soft.

    The join runs through a patch of the field, (H, W), whose top and left is `corner`. Returns (H,
    W) float32: the share of the second one, 0 to 1.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    y = y - (corner[0] + rng.uniform(0.1, 0.9) * patch)
    x = x - (corner[1] + rng.uniform(0.1, 0.9) * patch)
    angle = rng.uniform(0, np.pi) if rng.random() < 0.5 else rng.integers(4) * np.pi / 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if rng.random() < ISLANDS:
        radii = rng.uniform(0.2, 0.8, size=2) * patch
        inside = radii.min() * (1 - np.hypot(along / radii[0], across / radii[1]))
    else:
        inside = along
    softness = 0.5 if rng.random() < 0.5 else rng.uniform(1, 24)
    share = np.clip(0.5 + inside / (2 * softness), 0, 1).astype(np.float32)
    return np.asarray(1 - share if rng.random() < 0.5 else share)


def joined_labels(share: Array) -> NDArray[np.int64]:
    """Say which of two degradations each of GRID x GRID parts of a patch (P, P) suffers."""
    cell = share.shape[0] // GRID
    means = share.reshape(GRID, cell, GRID, cell).mean(axis=(1, 3))
    labels = np.full((GRID, GRID), NO_DOMAIN)
    labels[means < PURE] = 0
    labels[means > 1 - PURE] = 1
    return labels
