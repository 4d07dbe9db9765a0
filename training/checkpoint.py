"""Checkpoints: everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from napari_baryir.atomic import written_aside
from napari_baryir.errors import DataError
from napari_baryir.training.names import CHECKPOINT

logger = logging.getLogger(__name__)

PREVIOUS = "checkpoint.previous.pt"
"""The one before it, which is read where the newest is damaged or was just being put in place."""


def save_checkpoint(folder: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a run's state, whole or not at all: it is written aside and renamed.

    Whenever the process dies, or the computer, the newest or the one before it is there and whole.

    Parameters
    ----------
    folder
        The run's output folder.
    state
        Tensors, numbers, strings, and lists and dicts of these.
    """
    path = Path(folder) / CHECKPOINT
    with written_aside(path) as aside:
        try:
            torch.save(state, aside)
        except RuntimeError as error:  # torch's own, where the disk is full
            reason = str(error).partition("\n")[0]
            raise OSError(f"{path} cannot be written; is the disk full? ({reason})") from error
        with aside.open("rb+") as file:  # else a name may outlive a power cut, and its bytes not
            os.fsync(file.fileno())
        if path.is_file():
            os.replace(path, path.with_name(PREVIOUS))


def load_checkpoint(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read the newest state that `save_checkpoint` wrote and that can be read; None if there is
    none. Runs nothing from the file.

    Raises
    ------
    DataError
        If there are only damaged ones.
    """
    damaged: list[tuple[Path, Exception]] = []
    for path in (Path(folder) / CHECKPOINT, Path(folder) / PREVIOUS):
        if not path.is_file():
            continue
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            # torch raises many types here; to the user they all mean the same.
            damaged.append((path, error))
            continue
        for other, why in damaged:
            logger.warning("%s cannot be read (%s); going on from %s", other, why, path.name)
        return state
    if damaged:
        path, why = damaged[0]
        raise DataError(
            f"the checkpoint {path} cannot be read ({why}); delete it to start anew"
        ) from why
    return None


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List the keys that differ from when a run was stopped."""
    return [key for key in new if key not in old or old[key] != new[key]]


def remove_checkpoint(folder: str | os.PathLike[str]) -> None:
    """Delete the checkpoints of a run that is over."""
    for name in (CHECKPOINT, PREVIOUS):
        (Path(folder) / name).unlink(missing_ok=True)


def remove_unfinished(folder: str | os.PathLike[str]) -> None:
    """Delete what a killed run was writing aside."""
    for path in Path(folder).glob(".*.part"):
        path.unlink(missing_ok=True)
