"""The paper's training data, laid out as the authors' README lays it out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import Dataset

from napari_baryir.errors import DataError
from napari_baryir.training.data.images import refuse
from napari_baryir.training.data.made_pairs import Batch
from napari_baryir.training.paper.file_pairs import DomainFiles, PairedDataset, validation_of
from napari_baryir.training.paper.layouts import (
    Found,
    Layout,
    PairPaths,
    after_rain,
    before_underscore,
    find_pairs,
    size_problems,
)
from napari_baryir.training.processes import WHOLE, Share
from napari_baryir.training.recipe import DataSettings
from napari_baryir.training.validation import ValidationPair

NOISE = "noise"


@dataclass(frozen=True)
class TrainingSet:
    """The folders of a domain's files, and their number."""

    layouts: tuple[Layout, ...]
    files: int
    """Number of files, as published."""


TRAINING_SETS = {
    # BSD400 and WED together: clean files, to which noise is added.
    NOISE: TrainingSet((Layout("Denoise", "."),), 400 + 4744),
    # Rain100L's training part.
    "rain": TrainingSet((Layout("Derain/rainy", "../gt", after_rain),), 200),
    # RESIDE's outdoor training set: 2061 clean images under 35 hazes each.
    "haze": TrainingSet((Layout("Dehaze/synthetic", "../original", before_underscore),), 72135),
    # GoPro, all frames in one folder, or in its sequences.
    "blur": TrainingSet(
        (Layout("Deblur/blur", "../sharp"), Layout("Deblur/*/blur", "../sharp")), 2103
    ),
    # LOL-v1's our485.
    "low light": TrainingSet(
        (Layout("low_light/low", "../high"), Layout("lowlight/low", "../high")), 485
    ),
}
"""Domain to its published training set, under the folder that the README calls Train."""


def load_paper_data(
    settings: DataSettings, seed: int, share: Share = WHOLE
) -> tuple[Dataset[Batch], dict[str, list[ValidationPair]]]:
    """Look through the training data, hold some out for validation, and read none of the rest yet.

    Whole scenes are held out: every haze of a clean image, every frame of a sequence. The test sets
    are never validated on. Raises `DataError` if data are missing or half there: everything that is
    wrong, in one list.
    """
    root = Path(settings.train)
    if not root.is_dir():
        raise DataError(
            f"there is no folder {settings.train!r}; give the one that holds "
            f"{', '.join(_folders(domain) for domain in settings.batch)}"
        )
    problems: list[str] = []
    training: list[DomainFiles] = []
    validation: dict[str, tuple[int, DomainFiles]] = {}
    for index, domain in enumerate(settings.batch):
        found = find_pairs(root, TRAINING_SETS[domain].layouts)
        problems += _domain_problems(domain, found, settings.incomplete)
        if found is None or not found.pairs:
            continue
        kept, held_out = hold_out(domain, found.pairs, settings.validation_images)
        if not kept:
            problems.append(f"{domain}: {len(found.pairs)} files of one scene leave none to train")
            continue
        sigmas = settings.sigmas if domain == NOISE else ()
        training.append(DomainFiles(domain, kept, sigmas))
        validation[domain] = (index, DomainFiles(domain, held_out, sigmas))
    refuse(
        problems,
        f"the training data in {root}",
        "complete them (training/README.md says where each is had), or train on what is there with "
        "data.incomplete=true where only files are missing",
    )
    dataset = PairedDataset(
        tuple(training),
        settings.patch,
        seed,
        settings.batch,
        settings.shuffled,
        settings.epoch or None,
        share,
    )
    pairs = {
        domain: validation_of(files, index, settings.validation_images, settings.validation_side)
        for domain, (index, files) in validation.items()
    }
    return dataset, pairs


def hold_out(
    domain: str, pairs: tuple[PairPaths, ...], images: int
) -> tuple[tuple[PairPaths, ...], tuple[PairPaths, ...]]:
    """Split pairs, in order, into those that are trained on and those of the last scenes.

    The domain decides what a scene is. At most `images` scenes are held out; never more than a
    tenth of them, but always one.
    """
    scenes: dict[object, list[PairPaths]] = {}
    for pair in pairs:
        scenes.setdefault(_scene(domain, pair), []).append(pair)
    names = list(scenes)
    count = min(images, max(len(names) // 10, 1))
    kept, held_out = names[:-count], names[-count:]
    return (
        tuple(pair for name in kept for pair in scenes[name]),
        tuple(pair for name in held_out for pair in scenes[name]),
    )


def _scene(domain: str, pair: PairPaths) -> object:
    """Return what a pair has in common with others that look like it."""
    if domain != "blur":
        return pair.clean
    if pair.clean.parents[1].name == "Deblur":  # all in one folder, sequence-frame.png
        return pair.clean.stem.rpartition("-")[0] or pair.clean
    return pair.clean.parent


def _folders(domain: str) -> str:
    return " or ".join(layout.degraded for layout in TRAINING_SETS[domain].layouts)


def _domain_problems(domain: str, found: Found | None, incomplete: bool) -> list[str]:
    if found is None:
        return [f"{domain}: there is no folder {_folders(domain)}"]
    problems = [] if incomplete and found.pairs else [f"{domain}: {p}" for p in found.problems]
    expected = TRAINING_SETS[domain].files
    if not found.pairs:
        problems.append(f"{domain}: there is nothing to train on")
    elif len(found.pairs) != expected and not incomplete:
        problems.append(f"{domain}: {len(found.pairs)} files; the published set has {expected}")
    return problems + [f"{domain}: {problem}" for problem in size_problems(found.pairs)]
