"""The samples that a fine-tuning draws, and the images that it is validated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_baryir.domains import CLEAN
from napari_baryir.network import BaryIR
from napari_baryir.training.data.images import middle, spread
from napari_baryir.training.data.made_pairs import PairDataset, plane_tensor, through_intensity_map
from napari_baryir.training.degradations import DEGRADATIONS
from napari_baryir.training.degradations.files import from_bytes
from napari_baryir.training.finetune.material import Material, Planes, Split
from napari_baryir.training.finetune.planes import as_stored, restored_plane
from napari_baryir.training.finetune.samples import (
    FinetuneDataset,
    LikeCamera,
    NoisySamples,
    PairSamples,
    Rotation,
    Samples,
    noisy_pair,
    taken_by,
)
from napari_baryir.training.finetune.settings import FinetuneSettings
from napari_baryir.training.names import YOURS
from napari_baryir.training.validation import ValidationPair, make_pair

SIDE = 256
"""Largest side of validation images, pixels."""
OWN_IMAGES, OLD_IMAGES = 8, 4
"""Validation images of the user's, and of each old domain."""
SYNTHETIC = 0.5
"""Share of synthetic fields in what is rehearsed, as the weights that ship were trained with: the
user's few images alone would have them forget all others. The user's own samples have none."""
REHEARSED_PLANES = 32
"""Planes that the starting model restores where there are no clean ones to rehearse on."""


@dataclass(frozen=True)
class TuningPlan:
    """The samples and the validation pairs of one fine-tuning."""

    dataset: FinetuneDataset
    counts: list[float]
    """n_k of each domain, per step."""
    pairs: dict[str, list[ValidationPair]]
    """Validation: `YOURS`, then the old domains that can be made."""
    rows: list[int]
    """Row of the domains' prototypes for each entry of `pairs`."""
    shown: tuple[Tensor, Tensor | None]
    """A degraded validation image (1, 3, H, W) to look at, and the truth where it is known."""
    unrehearsed: tuple[str, ...]
    """Old domains that cannot be made, and so may be forgotten."""


def make_plan(
    material: Material, start: BaryIR, settings: FinetuneSettings, batch: int, patch: int
) -> TuningPlan:
    """Turn the user's images, from `gather`, into samples and validation pairs.

    The starting model, in evaluation mode, restores what is rehearsed on where nothing clean is
    there. `batch` and `patch` are from `choose_sizes`.
    """
    domains, known = material.domains, [*DEGRADATIONS[material.profile], CLEAN]
    synthetic = not material.train.files and material.noise is None
    old = [d for d in start.domains if d in known and not (synthetic and d in material.targets)]
    train, validation = (
        replace(split, clean=split.clean or _restored(split, start, material))
        for split in (material.train, material.validation)
    )
    rehearsed = [
        (domains.index(d), _degraded(train.clean, material, d, patch, seed, SYNTHETIC))
        for seed, d in enumerate(old, settings.seed + 100)
    ]
    count = batch // 2 if rehearsed else 0
    own = _own(material, train, settings, patch)
    dataset = FinetuneDataset(
        Rotation(own, batch - count), Rotation(rehearsed, count, distilled=True)
    )
    counts = [0.0] * len(domains)
    for rotation in (dataset.own, dataset.rehearsed):
        for index, _ in rotation.domains:
            counts[index] += rotation.count / len(rotation.domains)
    # What never comes must not weigh in the game: lambda is 1 / n.
    counts = [n or max(counts) for n in counts]
    pairs = {YOURS: _own_pairs(material, validation, settings.seed)}
    clean = [plane for planes in validation.clean for plane in planes]
    for number, domain in enumerate(old):
        pairs[domain] = [
            make_pair(clean[i], domain, np.random.default_rng((2026, number, i)),
                      material.profile, SIDE)
            for i in spread(range(len(clean)), OLD_IMAGES)
        ]  # fmt: skip
    return TuningPlan(
        dataset,
        counts,
        pairs,
        [domains.index(material.targets[0]), *(domains.index(d) for d in old)],
        _shown(material, pairs[YOURS]),
        tuple(d for d in start.domains if d not in known),
    )


def _restored(split: Split, start: BaryIR, material: Material) -> list[Planes]:
    """Restore noisy planes by the starting model, as clean ones to rehearse on."""
    planes = [(i, plane) for i, file in enumerate(split.files) for plane in file.degraded]
    files: list[Planes] = [[] for _ in split.files]
    for index, plane in spread(planes, REHEARSED_PLANES):
        files[index].append(as_stored(restored_plane(start, plane), material.profile))
    return [planes for planes in files if planes]


def _degraded(
    files: list[Planes],
    material: Material,
    domain: str,
    patch: int,
    seed: int,
    synthetic: float = 0.0,
) -> PairDataset:
    return PairDataset(files, material.profile, {domain: 1}, patch, seed, synthetic=synthetic)


def _own(
    material: Material, train: Split, settings: FinetuneSettings, patch: int
) -> Sequence[tuple[int, Samples]]:
    """Make the samples of the domains that are learnt."""
    indices = [material.domains.index(name) for name in material.targets]
    if train.files and train.files[0].clean:
        return [(indices[0], PairSamples(train.files, patch, settings.seed, settings.turn))]
    if train.files:
        return [(indices[0], NoisySamples(train.files, patch, settings.seed))]
    if material.noise is not None:
        name = material.targets[0]
        camera = LikeCamera(
            train.clean, material.profile, {name: 1}, patch, settings.seed, noise=material.noise
        )
        return [(indices[0], camera)]
    return [
        (index, _degraded(train.clean, material, made, patch, seed))
        for seed, (index, made) in enumerate(
            zip(indices, material.made, strict=True), settings.seed
        )
    ]


def _own_pairs(material: Material, split: Split, seed: int) -> list[ValidationPair]:
    """Pair the user's validation images with their truth; noisy ones with noisy neighbours."""
    if not split.files:
        clean = [plane for planes in split.clean for plane in planes]
        return [
            _made_pair(material, clean[i], np.random.default_rng((seed, 2026, i)), number)
            for number, i in enumerate(spread(range(len(clean)), OWN_IMAGES))
        ]
    cut = ((file, i) for file in split.files for i in range(len(file.degraded)))
    planes = [(file, i, number) for number, (file, i) in enumerate(cut)]
    pairs = []
    for file, i, number in spread(planes, OWN_IMAGES):
        inside = middle(file.degraded[i].shape, SIDE)
        if file.clean:
            pairs.append(ValidationPair.of(file.degraded[i][inside], file.clean[i][inside]))
            continue
        noisy = plane_tensor(file.degraded[i][middle(file.degraded[i].shape, 2 * SIDE)])
        height, width = (side // 16 * 16 for side in noisy.shape[2:])
        rng = np.random.default_rng((seed, 2026, number))
        first, second, _ = noisy_pair(noisy[..., :height, :width], rng)
        pairs.append(ValidationPair(first, second, noisy_truth=True))
    return pairs


def _made_pair(
    material: Material, clean: NDArray[np.generic], rng: np.random.Generator, number: int
) -> ValidationPair:
    if material.noise is None:
        made = material.made[number % len(material.made)]
        return make_pair(clean, made, rng, material.profile, SIDE)
    truth = from_bytes(clean[middle(clean.shape, SIDE)])
    degraded = taken_by(material.noise, truth, rng, material.profile)
    if material.profile == "microscopy":
        degraded, truth = through_intensity_map(degraded, truth, rng)
    return ValidationPair.of(degraded, truth)


def _shown(material: Material, pairs: list[ValidationPair]) -> tuple[Tensor, Tensor | None]:
    if not pairs[0].noisy_truth:
        return pairs[0].degraded, pairs[0].clean
    plane = material.validation.files[0].degraded[0]
    return plane_tensor(plane[middle(plane.shape, SIDE)]), None
