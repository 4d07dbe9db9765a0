"""Calibrate the degradation estimates of any weights on clean images that are degraded here."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from napari_baryir.degradation.calibration import Calibration, pool
from napari_baryir.domains import CLEAN
from napari_baryir.errors import DataError
from napari_baryir.network import BaryIR
from napari_baryir.training.calibrate.discriminants import Cells, Fitted, fit
from napari_baryir.training.calibrate.scenes import UNDECIDED, Kind, KnownScene, as_seen, make_scene
from napari_baryir.training.data.images import Files, Profile, random_patch, random_plane
from napari_baryir.training.data.made_pairs import plane_tensor
from napari_baryir.training.data.variety import photo_field, varied_field
from napari_baryir.training.degradations import ANY, DEGRADATIONS, PLAIN
from napari_baryir.training.degradations.files import draw_file, from_bytes, through_file

WINDOW = 5
"""Cells a side over which residuals are averaged: 40 pixels. Single cells of flat picture say
little, and a larger window blurs where a degradation ends."""
SIDES = (96, 160, 256, 384, 512)
"""Sides of the pictures, pixels: small ones and whole ones have somewhat different embeddings."""
SCENES = 960
"""Pictures that are degraded; a few minutes of one core with the compact networks."""
CELLS = 48
"""Cells of each picture that are looked at."""
SIDE_BY_SIDE, DISCS = 0.25, 0.25
"""Share of the pictures with two degradations side by side, and with a disc that is degraded in an
otherwise clean picture, or clean in a degraded one."""
VARIED, SYNTHETIC = 0.5, 0.5
"""Share of the pictures that are varied as in training: pieces of large photographs are smooth, and
few micrographs have few looks; and of the latter, the share that comes from no file."""
OTHERS, LEAST_LEVEL = 0.5, 0.5
"""Share of the pictures degraded in any variant, not the plain one; and the least level of these,
whose mildest are all but clean."""
SMALLEST_WITH_DISC = 160
"""Pixels: in less, no cell inside of a disc is far enough from its border."""
KEPT_APART = 4
"""One clean image in so many is kept for temperature and "unknown"; severity is fitted to all."""


@dataclass(frozen=True)
class CalibrationProgress:
    """One more picture was embedded."""

    done: int
    total: int


def calibration_domains(model: BaryIR, profile: str) -> tuple[str, ...]:
    """Return the domains to calibrate, "clean" last.

    Raises `DataError` if the network was trained on a degradation that the profile cannot make.
    """
    known = DEGRADATIONS[profile]
    named = [name for name in model.domains if name != CLEAN] or list(known)
    strange = [name for name in named if name not in known]
    if strange:
        raise DataError(
            f"the weights know {', '.join(strange)}, which the profile {profile!r} does not make "
            f"({', '.join(known)}); give the profile that they were trained with"
        )
    return (*named, CLEAN)


def calibrate(
    model: BaryIR, files: Files, profile: Profile, *, scenes: int = SCENES, seed: int = 0
) -> Generator[CalibrationProgress, None, Calibration]:
    """Set domains, prototypes, subspace and calibration of a network in evaluation mode.

    `files` are clean planes by file, as `load_clean_files` gives them; they may be those of
    training. With at least 8 files, whole files are held out; with fewer, single planes, at least 8
    in all. `scenes` is the number of pictures to degrade by the `profile`.

    Yields a `CalibrationProgress` after every picture, and returns the calibration. Raises
    `DataError` if there are too few images or scenes, or the network knows other degradations.
    """
    domains = calibration_domains(model, profile)
    if len(files) < 2 * KEPT_APART:
        files = [[plane] for planes in files for plane in planes]
    if len(files) < 2 * KEPT_APART:
        raise DataError(f"{len(files)} clean images are too few to calibrate; give at least 8")
    least = 2 * KEPT_APART * len(domains)
    if scenes < least:
        raise DataError(f"{scenes} scenes are too few for {len(domains)} domains; at least {least}")
    read: tuple[list[Cells], list[Cells]] = ([], [])
    for done, (held_out, scene) in enumerate(_scenes(files, domains, profile, scenes, seed), 1):
        rng = np.random.default_rng((seed, done, 1))
        read[held_out].append(_embed(model, as_seen(scene, rng), domains, rng))
        yield CalibrationProgress(done, scenes)
    known, kept = map(Cells.of, read)
    images = sum(map(len, files))
    data = f"{images} clean {profile} images, {scenes} scenes, seed {seed}"
    fitted = fit(known, kept, domains, WINDOW, data)
    _set(model, domains, fitted, known)
    return fitted.calibration


def _scenes(
    files: Files, domains: tuple[str, ...], profile: Profile, count: int, seed: int
) -> Iterator[tuple[bool, KnownScene]]:
    """Yield degraded pictures, each with whether it is held out.

    Each domain alone, and the first of those side by side, comes equally often; in discs, clean
    comes more often than the others.
    """
    turns = itertools.cycle(range(len(domains)))
    groups = [
        [f for i, f in enumerate(files) if (i % KEPT_APART == 0) == held] for held in (False, True)
    ]
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        # Runs of scenes, not every so many: these would meet the same few domains only.
        held_out = number * KEPT_APART >= count * (KEPT_APART - 1)
        group = groups[held_out]
        image = random_plane(group, rng)
        side = min(int(rng.choice(SIDES)), max(image.shape[:2]) // 8 * 8)
        if rng.random() >= VARIED:
            clean = from_bytes(random_patch(image, side, rng))
        elif profile == "photo":
            clean = photo_field(group, side, side, rng)
        else:
            clean = varied_field(group, side, rng, synthetic=SYNTHETIC)
        chosen, kind = _what_happens(next(turns), domains, rng, disc=side >= SMALLEST_WITH_DISC)
        level, variant = None, PLAIN
        if rng.random() < OTHERS:
            level, variant = float(rng.uniform(LEAST_LEVEL, 1)), ANY
        scene = make_scene(
            clean, chosen, rng, profile=profile, kind=kind, level=level, variant=variant
        )
        if profile == "photo":
            scene = replace(scene, degraded=through_file(scene.degraded, draw_file(rng)))
        yield held_out, scene


def _what_happens(
    number: int, domains: tuple[str, ...], rng: np.random.Generator, *, disc: bool
) -> tuple[list[str], Kind]:
    """Return a domain alone or with another one, if need be in a disc."""
    drawn, own = rng.random(), domains[number]
    if drawn >= SIDE_BY_SIDE + DISCS * disc:
        return [own], "alone"
    others = [name for name in domains if name != own]
    if drawn < SIDE_BY_SIDE:
        return [own, str(rng.choice(others))], "side by side"
    both = [own, str(rng.choice(others)) if own == CLEAN else CLEAN]
    return [both[i] for i in rng.permutation(2)], "disc"


@torch.inference_mode()
def _embed(
    model: BaryIR, scene: KnownScene, domains: tuple[str, ...], rng: np.random.Generator
) -> Cells:
    """Return the residuals in some cells of a scene."""
    device = next(model.parameters()).device
    x = plane_tensor(scene.degraded).to(device, memory_format=torch.channels_last)
    latents = model.encode(x)
    scene_wide = model.look(model.reduce(x)) if model.scene_side else None
    residual = model.evidence(latents, scene_wide)[0].permute(1, 2, 0).cpu().numpy()
    labels = scene.labels.reshape(-1)
    inside = np.flatnonzero(labels != UNDECIDED)
    chosen = rng.permutation(inside)[:CELLS]
    points = pool(residual, WINDOW).reshape(-1, residual.shape[-1])[chosen]
    errors = pool(scene.errors()[..., None], WINDOW).reshape(-1)[chosen].astype(np.float64)
    named = np.array([domains.index(name) for name in scene.domains])
    return Cells(points, named[labels[chosen]], np.asarray(scene.levels)[labels[chosen]], errors)


def _set(model: BaryIR, domains: tuple[str, ...], fitted: Fitted, known: Cells) -> None:
    device = next(model.parameters()).device
    if CLEAN not in model.domains:
        model.domains = domains
    # The prototypes are of the residual of the cell itself, as training keeps them.
    own = torch.from_numpy(known.points[:, : model.embedding_width])
    units = F.normalize(own, dim=1).numpy()
    means = [units[known.domains == domains.index(d)].mean(axis=0) for d in model.domains]
    model.prototypes = torch.from_numpy(np.stack(means)).float().to(device)
    model.subspace = torch.from_numpy(fitted.subspace).to(device)
    model.calibration = fitted.calibration.model_dump(mode="json")
