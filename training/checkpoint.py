"""Checkpoints: everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic_core import to_jsonable_python

from napari_baryir.atomic import written_aside
from napari_baryir.errors import DataError
from napari_baryir.training.names import CHECKPOINT
from napari_baryir.training.recipe import Recipe
from napari_baryir.training.state import TrainingState

logger = logging.getLogger(__name__)

PREVIOUS = "checkpoint.previous.pt"
"""The one before it, which is read where the newest is damaged or was just being put in place."""


def save_checkpoint(folder: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a run's state to its output folder, whole or not at all: it is written aside and
    renamed.

    Whenever the process dies, or the computer, the newest or the one before it is there and whole.
    The state holds tensors, numbers, strings, and lists and dicts of these.
    """
    path = Path(folder) / CHECKPOINT
    with written_aside(path) as aside:
        try:
            torch.save(state, aside)
        except RuntimeError as error:  # torch's own, where the disk is full
            reason = str(error).partition("\n")[0]
            raise OSError(f"{path} cannot be written; is the disk full? ({reason})") from error
        if path.is_file():
            os.replace(path, path.with_name(PREVIOUS))


def load_checkpoint(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read the newest state that `save_checkpoint` wrote and that can be read; None without any.

    Runs nothing from the file. Raises `DataError` if there are only damaged ones.
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


def save_state(state: TrainingState, recipe: Recipe) -> None:
    """Write a checkpoint to the output folder."""
    save_checkpoint(recipe.output, state.as_dict() | {"recipe": identity(recipe)})
    state.saved = state.step


def identity(recipe: Recipe) -> dict[str, Any]:
    """List the keys of a recipe that must not change between a checkpoint and its resumption."""
    return recipe.model_dump(
        mode="json", include={"name", "seed", "network", "data", "optimizer", "losses", "steps"}
    )


def _with_defaults(saved: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Fill in the keys that recipes did not have yet when a checkpoint was written."""
    filled = dict(saved)
    for name in ("network", "data", "optimizer", "losses"):
        fields = type(getattr(recipe, name)).model_fields
        defaults = {
            key: field.get_default(call_default_factory=True)
            for key, field in fields.items()
            if not field.is_required()
        }
        filled[name] = to_jsonable_python(defaults) | saved.get(name, {})
    return filled


def resume(state: TrainingState, recipe: Recipe) -> None:
    """Take over the checkpoint in the output folder, if there is one.

    Raises `DataError` if it was made by a recipe that differs where it matters.
    """
    checkpoint = load_checkpoint(recipe.output)
    if checkpoint is None:
        logger.info("no checkpoint in %s: starting anew", recipe.output)
        return
    old, new = _with_defaults(checkpoint["recipe"], recipe), identity(recipe)
    for moved in ("train", "validation"):  # the same data may have moved to another folder
        old["data"].pop(moved), new["data"].pop(moved)
    if checkpoint["step"] <= recipe.optimizer.constant * min(old["steps"], new["steps"]):
        # The learning rate has not begun to fall yet; `steps` decides where.
        new.pop("steps")
    changed = changed_keys(old, new)
    if changed:
        raise DataError(
            f"the checkpoint in {recipe.output} was made with other values of "
            f"{', '.join(changed)}; "
            "restore them, choose another output, or start anew with resume=false"
        )
    state.load_dict(checkpoint)
    logger.info("going on from step %d of %d", state.step, recipe.steps)
