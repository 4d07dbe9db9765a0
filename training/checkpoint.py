"""Checkpoints: everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from napari_baryir.errors import DataError
from napari_baryir.weights.files import written_aside

CHECKPOINT = "checkpoint.pt"
"""File name in a run's output folder."""


def save_checkpoint(folder: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a run's state, whole or not at all: it is written aside and renamed.

    Parameters
    ----------
    folder
        The run's output folder.
    state
        Tensors, numbers, strings, and lists and dicts of these.
    """
    with written_aside(Path(folder) / CHECKPOINT) as aside:
        torch.save(state, aside)


def load_checkpoint(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read the state that `save_checkpoint` wrote; None if there is none. Runs nothing from the
    file.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    path = Path(folder) / CHECKPOINT
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises many types here; to the user they all mean the same.
        raise DataError(
            f"the checkpoint {path} cannot be read ({error}); delete it to start anew"
        ) from error
    return state
