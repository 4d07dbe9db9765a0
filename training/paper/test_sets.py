"""The paper's five test sets, in the layouts that they are published in."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from napari_baryir.errors import DataError, InputError
from napari_baryir.training.data.images import refuse, spread
from napari_baryir.training.evaluate.cases import Case, FileCase, SyntheticCase
from napari_baryir.training.paper.layouts import (
    Layout,
    PairPaths,
    Published,
    after_rain,
    before_underscore,
    find_pairs,
    set_problems,
)
from napari_baryir.training.paper.published_scores import TEST_SETS

logger = logging.getLogger(__name__)

PAPER_SIGMAS = (15.0, 25.0, 50.0)
"""Standard deviations (of 255) of the noise on BSD68."""

# First of each the layout of the authors' README, then those that the data sets come in.
BSD68 = "BSD68"
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "SOTS outdoor": (
        Layout("dehaze/input", "../target", before_underscore),
        Layout("SOTS/outdoor/hazy", "../gt", before_underscore),
        Layout("outdoor/hazy", "../gt", before_underscore),
    ),
    "Rain100L": (
        Layout("derain/Rain100L/input", "../target", after_rain),
        Layout("Rain100L/input", "../target", after_rain),
        Layout("Rain100L/rainy", "..", after_rain),
    ),
    BSD68: tuple(
        Layout(folder, ".")
        for folder in ("denoise/bsd68", "denoise/BSD68", "CBSD68", "testsets/CBSD68")
    ),
    "GoPro": (
        Layout("deblur/input", "../target"),
        Layout("GoPro/test/*/blur", "../sharp"),
        Layout("test/GOPR*/blur", "../sharp"),
    ),
    "LOL-v1": (
        Layout("lowlight/eval15/low", "../high"),
        Layout("lowlight/low", "../high"),
        Layout("low_light/low", "../high"),
        Layout("eval15/low", "../high"),
        Layout("*/eval15/low", "../high"),
    ),
}
"""Name of a test set to its layouts. BSD68 are clean images in colour; their noise is seeded."""

SETS = tuple(LAYOUTS)
"""In the order of the paper."""


def list_paper_sets(
    root: Path,
    *,
    sets: Sequence[str] | None = None,
    seed: int = 0,
    limit: int | None = None,
    incomplete: bool = False,
) -> list[Case]:
    """List the images of the paper's test sets.

    `root` is the folder that the authors' README calls ``test`` (or the one with the data sets as
    they are unpacked). `sets` are names in `SETS`; None for those that are there. `seed` is that of
    the noise on BSD68. At most `limit` images of each set are taken, spread evenly over it. With
    `incomplete`, sets that lack images are measured all the same.

    Raises `InputError` if a set has another name, and `DataError` if there is nothing, or a set
    that was asked for is missing, or one is there in part: all that is wrong in one list.
    """
    unknown = [name for name in sets or () if name not in SETS]
    if unknown:
        raise InputError(f"no test set {', '.join(unknown)}; use {', '.join(SETS)}")
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; give the one that holds the test sets")
    cases: list[Case] = []
    problems: list[str] = []
    for name in sets or SETS:
        published = _published(name)
        found = find_pairs(root, published.layouts)
        if found is None:
            if sets:
                problems.append(f"{name} is not there: no folder {published.folders}")
            else:
                logger.warning("%s: no folder %s", name, published.folders)
            continue
        problems += set_problems(name, found, published.count, incomplete)
        cases += _cases(name, spread(found.pairs, limit), seed)
    refuse(
        problems,
        f"the test sets in {root}",
        "complete them (training/README.md says where each is had), leave sets out with --sets, "
        "or measure what is there with --incomplete",
    )
    if not cases:
        raise DataError(
            f"none of {', '.join(SETS)} is in {root}; expected folders such as "
            f"{', '.join(LAYOUTS[name][0].degraded for name in SETS)}"
        )
    return cases


def _published(name: str) -> Published:
    return Published(LAYOUTS[name], TEST_SETS[f"{BSD68} sigma 15" if name == BSD68 else name])


def _cases(name: str, pairs: Sequence[PairPaths], seed: int) -> list[Case]:
    if name != BSD68:
        return [
            FileCase(_name(pair.degraded), pair.degraded, pair.clean, domain=name, noisy=False)
            for pair in pairs
        ]
    return [
        SyntheticCase(
            pair.clean, 0, 1, "photo", "noise", None, sigma, seed, f"{BSD68} sigma {sigma:g}"
        )
        for sigma in PAPER_SIGMAS
        for pair in pairs
    ]


def _name(path: Path) -> str:
    """Add the sequence where a video has one: GoPro's frames are numbered in each."""
    return f"{path.parts[-3]}/{path.name}" if path.parent.name == "blur" else path.name
