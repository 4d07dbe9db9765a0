"""The one training loop, for one process and for several, to be read from top to bottom."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_baryir.errors import DataError
from napari_baryir.steps import finish
from napari_baryir.training import losses
from napari_baryir.training.bank import start_bank
from napari_baryir.training.checkpoint import remove_unfinished, resume, save_state
from napari_baryir.training.data import load_data, make_batches
from napari_baryir.training.data.made_pairs import Batch
from napari_baryir.training.data.scene_pairs import SceneBatch
from napari_baryir.training.game import Game
from napari_baryir.training.log import RunLog, sample_pictures
from napari_baryir.training.processes import ALONE, Processes, join, training_device
from napari_baryir.training.recipe import LossSettings, Recipe, StepSettings
from napari_baryir.training.state import (
    TrainingState,
    average_weights,
    final_model,
    set_rates,
    start_state,
    update_prototypes,
    weights_path,
    write_weights,
)
from napari_baryir.training.validation import Scores, ValidationPair, iter_validate


@dataclass(frozen=True)
class TrainingProgress:
    """Yielded after every step."""

    step: int
    """Steps done."""
    steps: int
    """Steps in all."""
    terms: dict[str, float]
    """Loss terms of this step by name."""
    scores: Scores | None
    """Scores of the averaged weights, after the last step of the final ones, where this step ended
    with a validation; of several processes, the first one has them."""


def train(recipe: Recipe) -> Generator[TrainingProgress, None, Path]:
    """Train a network; closing the generator stops it after a last checkpoint.

    Under ``torchrun`` every process calls this, with the same recipe: each makes its share of every
    batch, the first one validates and writes. Close the generator in all of them or in none.

    Yields a `TrainingProgress` after every step, and returns the path of the final weights, the one
    ``*.safetensors`` in the output folder.

    Raises
    ------
    DataError
        If images are missing or unreadable, or the checkpoint belongs to another recipe.
    DeviceError
        If the device is not there.
    InputError
        If several processes cannot share the batch.
    """
    device, autocast = training_device(recipe)
    together = join(device, recipe.data.size)
    dataset, pairs = load_data(recipe, together.share)
    Path(recipe.output).mkdir(parents=True, exist_ok=True)
    state = start_state(recipe, device)
    if recipe.resume:
        resume(state, recipe)
    if recipe.bank_steps and not state.step:
        start_bank(state, recipe, dataset, device)
    together.start_alike(state.step, state.model, state.averaged, state.potentials)
    # The first process alone logs, validates and writes; the others wait for it in their next step.
    log = None
    if together.first:
        remove_unfinished(recipe.output)
        log = RunLog(recipe, state.step)

    def save() -> None:
        if log is not None:
            save_state(state, recipe)

    batches = make_batches(dataset, state.step, recipe.steps, recipe.workers)
    stepping = take_steps(
        state, recipe, recipe.steps, batches, device, autocast, save=save, together=together
    )
    try:
        with contextlib.closing(stepping):
            for terms in stepping:
                scores = None
                if log is not None:
                    if state.step % recipe.validate_every == 0 or state.step == recipe.steps:
                        scores = _validate(state, recipe, pairs, device, autocast, log)
                    log.write(state.step, terms, scores)
                if state.step % recipe.checkpoint_every == 0:
                    save()
                yield TrainingProgress(state.step, recipe.steps, terms, scores)
    finally:
        if log is not None:
            log.close()
    if log is not None:
        write_weights(state, recipe)
    together.wait()
    return weights_path(recipe)


def _validate(
    state: TrainingState,
    recipe: Recipe,
    pairs: dict[str, list[ValidationPair]],
    device: torch.device,
    autocast: torch.dtype | None,
    log: RunLog,
) -> Scores:
    """Measure the averaged weights, at the end the final ones, and show what they restore."""
    last = state.step == recipe.steps
    model = final_model(state, recipe) if last else state.averaged.eval()
    if log.wants_pictures(state.step):
        log.show(state.step, sample_pictures(model, pairs, device, autocast))
    return finish(iter_validate(model, pairs, state.prototypes, device, autocast))


def take_steps(
    state: TrainingState,
    settings: StepSettings,
    steps: int,
    batches: Generator[Batch | SceneBatch, None, None],
    device: torch.device,
    autocast: torch.dtype | None,
    *,
    save: Callable[[], None],
    together: Processes = ALONE,
) -> Generator[dict[str, float], None, None]:
    """Take the steps of a training or a fine-tuning; closing it ends `batches` too.

    `batches` are this process's shares, from the state's step on; `save` writes a checkpoint, and
    is called in the end where the last step is not in one yet. Yields the loss terms of each step
    by name.
    """
    started = time.monotonic()
    between_steps = True
    try:
        while state.step < steps:
            batch = next(batches)
            between_steps = False
            set_rates(state, settings.optimizer, steps)
            terms = training_step(state, settings, batch, device, autocast, together)
            state.step += 1
            between_steps = True
            now = time.monotonic()
            state.seconds += now - started
            started = now
            yield terms
    finally:
        batches.close()
        # Stopped in the middle of a step (by Ctrl-C, say), the state is one that an uninterrupted
        # run never has: the last checkpoint stands.
        if between_steps and state.step != state.saved:
            save()


def training_step(
    state: TrainingState,
    recipe: StepSettings,
    batch: Batch | SceneBatch,
    device: torch.device,
    autocast: torch.dtype | None,
    together: Processes = ALONE,
) -> dict[str, float]:
    """Take one descent of T, E and D, then one ascent of the potentials. Return the loss terms.

    `batch` is this process's share of the step's samples, `together` the processes that make the
    other shares; `autocast` is the dtype of autocast (None: none).
    """
    settings = recipe.losses
    x = batch.degraded.to(device, memory_format=torch.channels_last)
    clean = batch.clean.to(device, memory_format=torch.channels_last)
    model, potentials = state.model.train(), state.potentials
    floor = _floor(settings, state.step)
    scenes_alone = state.step < settings.scene_steps
    coarse_floor = settings.scene_floor if scenes_alone else floor

    def fidelity(restored: Tensor, target: Tensor, coarse: float, floor: float) -> Tensor:
        both = together.gather(restored), together.gather(target)
        return losses.fidelity_loss(*both, settings.fidelity, floor=floor, coarse_weight=coarse)

    terms: dict[str, Tensor] = {}
    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        latents = model.encode(x)
        games = [Game.of(model, latents, batch.labels.to(device), settings, together)]
        if isinstance(batch, SceneBatch):
            reduced = batch.reduced.to(device, memory_format=torch.channels_last)
            removed = batch.removed.to(device)
            around = model.encode(reduced)
            whole = losses.whole_labels(batch.labels).to(device)
            games.append(Game.of(model, around, whole, settings, together))
            scene = model.decide(reduced, around)
            corrected = model.correct(reduced, scene, removed)
            terms["scene"] = fidelity(corrected, batch.reduced_clean.to(device), 0.0, coarse_floor)
            restored = model.decode(
                x,
                latents,
                scene=scene.detach() if scenes_alone else scene,
                place=batch.place.to(device),
                removed=removed,
            )
        else:
            restored = model.decode(x, latents)
    terms["fidelity"] = fidelity(restored, clean, settings.coarse_weight, floor)
    potentials.requires_grad_(False)
    played = [game.terms(potentials, settings, model.subspaces) for game in games]
    potentials.requires_grad_(True)
    terms |= {name: torch.stack([terms[name] for terms in played]).mean() for name in played[0]}
    total = (
        settings.fidelity_weight * terms["fidelity"]
        + settings.scene_weight * terms.get("scene", 0.0)
        + settings.barycenter_weight * (terms["transport"] - terms["potential"])
        + settings.residual_weight * (terms["contrast"] + terms["orthogonality"])
        + settings.subspace_weight * terms.get("subspace", 0.0)
    )
    if not bool(torch.isfinite(total)):
        raise DataError(f"the loss is {float(total)} at step {state.step}; lower optimizer.rate")
    state.model_optimizer.zero_grad(set_to_none=True)
    total.backward()
    together.average_gradients(model)
    if recipe.optimizer.clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), recipe.optimizer.clip)
    state.model_optimizer.step()

    state.potentials_optimizer.zero_grad(set_to_none=True)
    ascents = [game.ascent(potentials, settings) for game in games]
    if settings.congruence == "penalty":
        terms["congruence"] = torch.stack([penalty for _, penalty in ascents]).mean()
    torch.stack([value + penalty for value, penalty in ascents]).mean().backward()
    together.average_gradients(potentials)
    state.potentials_optimizer.step()

    average_weights(state.averaged, model, min(recipe.ema, (1 + state.step) / (10 + state.step)))
    patches = games[0]
    update_prototypes(state, patches.residual.detach()[patches.alone], patches.sources)
    return {name: float(value.detach()) for name, value in terms.items()}


def _floor(settings: LossSettings, step: int) -> float:
    """Return the floor of the fidelity at a step."""
    part = min(1.0, step / settings.floor_steps) if settings.floor_steps else 1.0
    return float(settings.first_floor * (settings.floor / settings.first_floor) ** part)
