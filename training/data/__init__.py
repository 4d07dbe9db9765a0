"""The data that a recipe trains and validates on."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from napari_baryir.training.processes import Share
    from napari_baryir.training.recipe import Recipe
    from napari_baryir.training.validation import ValidationPair


Drawn = TypeVar("Drawn")
"""The samples that a dataset gives for one step."""


def load_data(
    recipe: Recipe, share: Share | None = None
) -> tuple[Dataset[Any], dict[str, list[ValidationPair]]]:
    """Load training batches by step, or a share of each, and validation pairs by domain.

    Networks with a scene get `SceneBatch`, others `Batch`. Raises `DataError` if images are missing
    or unreadable.
    """
    # Late: these import torch, and modules of this folder.
    from napari_baryir.network.config import GatedConfig
    from napari_baryir.training.data.images import load_clean_files
    from napari_baryir.training.data.made_pairs import PairDataset
    from napari_baryir.training.data.scene_pairs import ScenePairs
    from napari_baryir.training.paper.training_sets import load_paper_data
    from napari_baryir.training.processes import WHOLE
    from napari_baryir.training.validation import validation_pairs

    data, share = recipe.data, share or WHOLE
    if data.layout == "paper":
        return load_paper_data(data, recipe.seed, share)
    files = load_clean_files(data.train, data.profile)
    pairs = validation_pairs(data)
    network = recipe.network
    made = (
        files, data.profile, data.batch, data.patch, recipe.seed, data.in_turn, data.side_by_side,
        share, data.synthetic,
    )  # fmt: skip
    if isinstance(network, GatedConfig) and network.scene:
        return ScenePairs(*made, network.scene), pairs
    return PairDataset(*made), pairs


def make_batches(
    dataset: Dataset[Drawn], start: int, steps: int, workers: int
) -> Generator[Drawn, None, None]:
    """Make batches from step `start` on. The content of a batch depends on its step alone."""
    import torch
    from torch.utils.data import DataLoader

    loader: DataLoader[Drawn] = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(start, steps),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        # Its own: from torch's it would draw once more in a run that is resumed.
        generator=torch.Generator(),
    )
    batches = iter(loader)
    try:
        yield from batches
    finally:
        # Worker processes end at once instead of when the garbage collector comes.
        shutdown = getattr(batches, "_shutdown_workers", None)
        if shutdown is not None:
            shutdown()
