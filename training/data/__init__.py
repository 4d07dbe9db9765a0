"""What a recipe trains and validates on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_baryir.training.processes import WHOLE, Share

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from napari_baryir.training.recipe import Recipe
    from napari_baryir.training.validation import Pair


def load_data(recipe: Recipe, share: Share = WHOLE) -> tuple[Dataset[Any], dict[str, list[Pair]]]:
    """Return batches by step (or a share of each), and validation pairs by domain.

    Networks with a scene get `SceneBatch`, others `Batch`.

    Raises
    ------
    DataError
        If images are missing or unreadable.
    """
    # Late: these import modules of this folder.
    from napari_baryir.network.config import GatedConfig
    from napari_baryir.training.data.images import load_clean_files
    from napari_baryir.training.data.made_pairs import PairDataset
    from napari_baryir.training.data.scene_pairs import ScenePairs
    from napari_baryir.training.paper.training_sets import load_paper_data
    from napari_baryir.training.validation import validation_pairs

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
