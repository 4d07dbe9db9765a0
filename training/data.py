"""What a recipe trains and validates on."""

from __future__ import annotations

from torch.utils.data import Dataset

from napari_baryir.network.config import GatedConfig
from napari_baryir.training.clean_images import load_clean_files
from napari_baryir.training.datasets import Batch, PairDataset
from napari_baryir.training.paper_data import load_paper_data
from napari_baryir.training.processes import WHOLE, Share
from napari_baryir.training.recipe import Recipe
from napari_baryir.training.scene_pairs import SceneBatch, ScenePairs
from napari_baryir.training.validation import Pair, validation_pairs


def load_data(
    recipe: Recipe, share: Share = WHOLE
) -> tuple[Dataset[Batch] | Dataset[SceneBatch], dict[str, list[Pair]]]:
    """Training batches by step, or a share of each; and validation pairs by domain.

    Raises
    ------
    DataError
        If images are missing or unreadable.
    """
    data = recipe.data
    if data.layout == "paper":
        return load_paper_data(data, recipe.seed, share)
    files = load_clean_files(data.train, data.profile)
    pairs = validation_pairs(data)
    network = recipe.network
    if isinstance(network, GatedConfig) and network.scene:
        scenes = ScenePairs(
            files,
            data.profile,
            data.batch,
            data.patch,
            recipe.seed,
            data.in_turn,
            data.side_by_side,
            share,
            data.synthetic,
            network.scene,
        )
        return scenes, pairs
    dataset = PairDataset(
        files,
        data.profile,
        data.batch,
        data.patch,
        recipe.seed,
        data.in_turn,
        data.side_by_side,
        share,
        data.synthetic,
    )
    return dataset, pairs
