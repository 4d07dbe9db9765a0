"""The three things that one can fine-tune on: pairs, clean images, noisy images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_baryir.domains import CLEAN
from napari_baryir.errors import DataError
from napari_baryir.network import BaryIR
from napari_baryir.training.data.images import Profile, bare_name, pair_by_key, refuse
from napari_baryir.training.degradations import DEGRADATIONS
from napari_baryir.training.degradations.camera import CameraNoise
from napari_baryir.training.finetune.images import (
    Usable,
    UserImage,
    colour_problem,
    list_images,
    open_image,
    pair_by_pattern,
    pair_problem,
    parts_of,
)
from napari_baryir.training.finetune.planes import (
    FilePlanes,
    clean_file,
    in_words,
    noise_of,
    noisy_file,
    pair_file,
    seen_by_profile,
)
from napari_baryir.training.finetune.settings import FinetuneSettings

OWN = "own"
"""The domain of degradations without a name."""

Planes = list[NDArray[np.generic]]


@dataclass(frozen=True)
class Pairs:
    """Degraded and clean images of the same scenes."""

    pairs: Sequence[tuple[UserImage, UserImage]]
    problems: Sequence[str] = ()
    """Problems that were found when the files were looked for."""

    @classmethod
    def of_folders(cls, degraded: str | os.PathLike[str], clean: str | os.PathLike[str]) -> Pairs:
        """Pair the images of two folders by their names."""
        (first, wrong), (second, also_wrong) = list_images(degraded), list_images(clean)
        if wrong or also_wrong:
            return cls((), (*wrong, *also_wrong))
        sides = [[(bare_name(i.name), i.name, i) for i in images] for images in (first, second)]
        pairs, problems = pair_by_key(sides[0], sides[1], (str(degraded), str(clean)))
        return cls(tuple(pairs), tuple(problems))

    @classmethod
    def of_pattern(cls, folder: str | os.PathLike[str], degraded: str, clean: str) -> Pairs:
        """Pair the images of one folder by two patterns: ``*_low.tif`` and ``*_high.tif``."""
        images, problems = list_images(folder)
        if problems:
            return cls((), tuple(problems))
        pairs, problems = pair_by_pattern(images, (degraded, clean))
        return cls(tuple(pairs), tuple(problems))


@dataclass(frozen=True)
class CleanImages:
    """Clean images, to be degraded by a profile."""

    images: Sequence[UserImage]
    profile: Profile
    degradation: str | None = None
    """A name in ``DEGRADATIONS[profile]``; None: all of them in turn."""
    like: UserImage | None = None
    """A noisy image whose camera's gain and offset are measured and used for "noise"."""
    problems: Sequence[str] = ()

    @classmethod
    def of_folder(
        cls, folder: str | os.PathLike[str], degradation: str, like: UserImage | None = None
    ) -> CleanImages:
        """Read ``PROFILE`` or ``PROFILE:domain``, and list the images of a folder."""
        images, problems = list_images(folder)
        profile, _, domain = degradation.partition(":")
        if profile not in DEGRADATIONS:
            problems.append(
                f"there is no degradation profile {profile!r}; use {' or '.join(DEGRADATIONS)}, "
                "alone or with the name of a degradation: microscopy:noise"
            )
            profile = "photo"
        elif domain and domain not in DEGRADATIONS[profile]:
            known = ", ".join(DEGRADATIONS[profile])
            problems.append(f"profile {profile!r} has no degradation {domain!r}; use {known}")
        elif like is not None and domain not in ("", "noise"):
            problems.append(
                f"noise is measured, but the degradation is {domain!r}; use {profile}:noise"
            )
        kind: Profile = "photo" if profile == "photo" else "microscopy"
        return cls(tuple(images), kind, domain or None, like, tuple(problems))


@dataclass(frozen=True)
class NoisyImages:
    """Noisy images without clean ones."""

    images: Sequence[UserImage]
    problems: Sequence[str] = ()

    @classmethod
    def of_folder(cls, folder: str | os.PathLike[str]) -> NoisyImages:
        """List the images of a folder."""
        images, problems = list_images(folder)
        return cls(tuple(images), tuple(problems))


GivenImages = Pairs | CleanImages | NoisyImages


@dataclass(frozen=True)
class Split:
    """The files to train on, or those to validate on."""

    files: list[FilePlanes] = field(default_factory=list)
    """Pairs, or noisy files."""
    clean: list[Planes] = field(default_factory=list)
    """Clean planes by file, where there are clean images."""
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Material:
    """All images that were read, split by file."""

    kind: str
    """The kind of images, for the model card."""
    profile: Profile
    domains: tuple[str, ...]
    """All of the model to be."""
    targets: tuple[str, ...]
    """Those that are learnt."""
    made: tuple[str, ...]
    """The profile's degradation for each of `targets`, where clean images are degraded."""
    train: Split
    validation: Split
    noise: CameraNoise | None = None
    """Noise of the user's camera, in units of clean images about [0, 1]."""
    notes: tuple[str, ...] = ()
    """Decisions that were made for the user, one sentence each."""


def gather(given: GivenImages, start: BaryIR, settings: FinetuneSettings) -> Material:
    """Read, check and split the user's images; raises a `DataError` that names every problem."""
    problems = list(given.problems)
    if isinstance(given, Pairs):
        rows = _open_pairs(given, problems)
    else:
        opened = [open_image(image, problems) for image in given.images]
        rows = [(image,) for image in opened if image is not None]
    if odd := colour_problem([row[0] for row in rows]):
        problems.append(odd)
    count = len(given.pairs) if isinstance(given, Pairs) else len(given.images)
    if count == 1:
        rows = parts_of(rows, problems)
    elif count == 0 and not given.problems:
        problems.append("there are no images; give two or more")
    notes: list[str] = []
    noise = _camera(given, problems, notes)
    refuse(problems, "the images for fine-tuning")
    profile = _profile(given, start, rows[0][0].layout.rgb)
    made = _made(given) if noise is None else ()
    domains, targets = _domains(given, start, settings, made)
    order = np.random.default_rng((settings.seed, 7)).permutation(len(rows))
    held = min(max(1, round(settings.validation_share * len(rows))), len(rows) - 1)
    matched: list[str] = []
    train, validation = (
        _split([rows[i] for i in sorted(chosen)], given, profile, settings, matched)
        for chosen in (order[held:].tolist(), order[:held].tolist())
    )
    if matched:
        notes.append(
            f"the ranges of {len(matched)} of {len(rows)} clean images ({matched[0]} among them) "
            "were matched to those of the degraded ones"
        )
    kind = {Pairs: "pairs", CleanImages: "clean images, degraded", NoisyImages: "noisy images"}
    return Material(
        kind[type(given)], profile, domains, targets, made, train, validation, noise, tuple(notes)
    )


def _open_pairs(given: Pairs, problems: list[str]) -> list[tuple[Usable, ...]]:
    rows: list[tuple[Usable, ...]] = []
    for pair in given.pairs:
        degraded, clean = (open_image(image, problems) for image in pair)
        if degraded is None or clean is None:
            continue
        if problem := pair_problem(degraded, clean):
            problems.append(problem)
        else:
            rows.append((degraded, clean))
    return rows


def _camera(given: GivenImages, problems: list[str], notes: list[str]) -> CameraNoise | None:
    """Measure the noise of the image that `like` gives, in units of clean images."""
    if not isinstance(given, CleanImages) or given.like is None:
        return None
    image = open_image(given.like, problems)
    if image is None:
        return None
    try:
        noise = noise_of(image)
    except DataError as error:
        problems.append(str(error))
        return None
    notes.append(f"measured on {image.name}: {in_words(noise)}")
    return seen_by_profile(noise, image)


def _profile(given: GivenImages, start: BaryIR, rgb: bool) -> Profile:
    kind = start.provenance.get("image_kind")
    if isinstance(given, CleanImages):
        if kind in ("photo", "microscopy") and kind != given.profile:
            raise DataError(
                f"the model was trained for the profile {kind!r}, not for {given.profile!r}; "
                f"give --degradation {kind}, or another model"
            )
        return given.profile
    if kind in ("photo", "microscopy"):
        return "photo" if kind == "photo" else "microscopy"
    return "photo" if rgb else "microscopy"


def _made(given: GivenImages) -> tuple[str, ...]:
    """List the profile's degradations that clean images are to suffer."""
    if not isinstance(given, CleanImages):
        return ()
    return (given.degradation,) if given.degradation else tuple(DEGRADATIONS[given.profile])


def _domains(
    given: GivenImages, start: BaryIR, settings: FinetuneSettings, made: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List the domains of the model to be, and those of them that are learnt."""
    if made:
        targets = (settings.domain,) if settings.domain and len(made) == 1 else made
    else:
        # Noise is what the model knows already, if it does; two domains for it would only compete.
        noise = "noise" if not isinstance(given, Pairs) and "noise" in start.domains else OWN
        targets = (settings.domain or noise,)
    new = [name for name in targets if name not in start.domains]
    # The estimates want "clean" last, where there is one.
    old = [name for name in start.domains if name != CLEAN]
    return (*old, *new, *([CLEAN] if CLEAN in start.domains else [])), targets


def _split(
    rows: Sequence[tuple[Usable, ...]],
    given: GivenImages,
    profile: Profile,
    settings: FinetuneSettings,
    brightness_matched: list[str],
) -> Split:
    split = Split()
    for row in rows:
        split.names.append(row[0].name)
        if isinstance(given, Pairs):
            file, matched = pair_file(row[0], row[1], settings.brightness)
            split.files.append(file)
            if matched:
                brightness_matched.append(row[1].name)
        elif isinstance(given, NoisyImages):
            split.files.append(noisy_file(row[0]))
        if not isinstance(given, NoisyImages):
            split.clean.append(clean_file(row[-1], profile))
    return split
