"""The paper's training data, laid out as the authors' README lays it out."""

from __future__ import annotations

from pathlib import Path

from torch.utils.data import Dataset

from napari_baryir.errors import DataError
from napari_baryir.training.data.images import refuse
from napari_baryir.training.data.made_pairs import Batch
from napari_baryir.training.paper.file_pairs import DomainFiles, PairedDataset, validation_of
from napari_baryir.training.paper.layouts import (
    Layout,
    PairPaths,
    Published,
    after_rain,
    before_underscore,
    find_pairs,
    set_problems,
)
from napari_baryir.training.processes import WHOLE, Share
from napari_baryir.training.recipe import DataSettings
from napari_baryir.training.validation import ValidationPair

NOISE = "noise"


TRAINING_SETS = {
    # BSD400 and WED together: clean files, to which noise is added.
    NOISE: Published((Layout("Denoise", "."),), 400 + 4744),
    # Rain100L's training part.
    "rain": Published((Layout("Derain/rainy", "../gt", after_rain),), 200),
    # RESIDE's outdoor training set: 2061 clean images under 35 hazes each.
    "haze": Published((Layout("Dehaze/synthetic", "../original", before_underscore),), 72135),
    # GoPro, all frames in one folder, or in its sequences.
    "blur": Published(
        (Layout("Deblur/blur", "../sharp"), Layout("Deblur/*/blur", "../sharp")), 2103
    ),
    # LOL-v1's our485.
    "low light": Published(
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
            f"{', '.join(TRAINING_SETS[domain].folders for domain in settings.batch)}"
        )
    problems: list[str] = []
    training: list[DomainFiles] = []
    validation: dict[str, tuple[int, DomainFiles]] = {}
    for index, domain in enumerate(settings.batch):
        published = TRAINING_SETS[domain]
        found = find_pairs(root, published.layouts)
        if found is None:
            problems.append(f"{domain}: there is no folder {published.folders}")
            continue
        problems += set_problems(domain, found, published.count, settings.incomplete)
        if not found.pairs:
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
        tuple(training), settings.patch, seed, settings.batch, settings.shuffled,
        settings.epoch or None, share,
    )  # fmt: skip
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
