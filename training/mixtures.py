"""What a training image suffers: one degradation, two on top of each other, or two side by side.

Each domain alone is what the barycenter game plays on. Two in turn teach the decoder what real
images are like; nobody can say which domain they are, so they belong to none. Two side by side
teach the residual to be local: each place belongs to its own domain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_baryir.training.degradations import degrade

GRID = 4
"""Places along each side of a patch that a domain is stated for."""
NO_DOMAIN = -1
"""Stands where no single domain is right."""
STRONGEST_IN_TURN = 0.7
"""Largest level of degradations on top of each other: at full strength little would be left."""

ORDER = {
    "photo": ("haze", "rain", "low light", "blur", "noise"),
    "microscopy": ("background", "blur", "noise", "stripes"),
}
"""In which order things go wrong between the scene and the file."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """What is to happen to one image."""

    domains: tuple[str, ...]
    """One domain, or two."""
    kind: Literal["alone", "in turn", "side by side"] = "alone"


def draw_plan(in_turn: bool, domains: list[str], profile: str, rng: np.random.Generator) -> Plan:
    """Choose two different domains, to come in turn or side by side.

    In turn neither is clean, and their order is that of `ORDER`.
    """
    if in_turn:
        domains = [name for name in ORDER[profile] if name in domains]
    chosen = rng.permutation(len(domains))[:2]
    if in_turn:
        chosen.sort()
    first, second = chosen
    return Plan((domains[first], domains[second]), "in turn" if in_turn else "side by side")


def apply_plan(
    plan: Plan,
    field: Array,
    corner: tuple[int, int],
    patch: int,
    profile: str,
    rng: np.random.Generator,
) -> tuple[Array, NDArray[np.int64]]:
    """Degrade a field of view of which a square patch will be cut.

    Parameters
    ----------
    plan
        What is to happen.
    field
        Clean, (H, W) or (H, W, 3), float32.
    corner, patch
        Top and left of the patch in the field, and its side; a multiple of `GRID`.
    profile, rng
        As in `degrade`.

    Returns
    -------
    tuple
        The degraded field, and for each of GRID x GRID places of the patch which of the plan's
        domains it suffers (an index into ``plan.domains``), or `NO_DOMAIN`.
    """
    if plan.kind == "alone":
        places = np.zeros((GRID, GRID), np.int64)
        return degrade(field, plan.domains[0], rng, profile=profile).image, places
    if plan.kind == "in turn":
        for domain in plan.domains:
            level = float(rng.uniform(0, STRONGEST_IN_TURN))
            field = degrade(field, domain, rng, profile=profile, level=level).image
        return field, np.full((GRID, GRID), NO_DOMAIN)
    sides = [degrade(field, domain, rng, profile=profile).image for domain in plan.domains]
    axis, line = int(rng.integers(2)), int(rng.integers(1, GRID))
    places = np.zeros((GRID, GRID), np.int64)
    np.moveaxis(places, axis, 0)[line:] = 1
    joined = sides[0].copy()
    border = corner[axis] + line * patch // GRID
    np.moveaxis(joined, axis, 0)[border:] = np.moveaxis(sides[1], axis, 0)[border:]
    return joined, places
