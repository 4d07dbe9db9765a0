"""The one training loop, for one process and for several, to be read from top to bottom."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from napari_baryir.errors import DataError
from napari_baryir.training import losses
from napari_baryir.training.bank import start_bank
from napari_baryir.training.checkpoint import remove_unfinished
from napari_baryir.training.data import load_data
from napari_baryir.training.data.made_pairs import Batch
from napari_baryir.training.log import RunLog
from napari_baryir.training.pictures import sample_pictures
from napari_baryir.training.processes import ALONE, Processes, choose_device, join
from napari_baryir.training.recipe import LossSettings, Recipe, StepSettings
from napari_baryir.training.state import (
    TrainingState,
    average_weights,
    final_model,
    resume,
    save_state,
    set_rates,
    start_state,
    update_prototypes,
    weights_path,
    write_weights,
)
from napari_baryir.training.validation import Pair, Scores, validate

Drawn = TypeVar("Drawn")
"""What a dataset gives for one step."""


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
    """Of the averaged weights, after the last step of the final ones, where this step ended with a
    validation; of several processes, the first one has them."""


def train(recipe: Recipe) -> Generator[TrainingProgress, None, Path]:
    """Train a network; closing the generator stops it after a last checkpoint.

    Under ``torchrun`` every process calls this, with the same recipe: each makes its share of every
    batch, the first one validates and writes. Close the generator in all of them or in none.

    Parameters
    ----------
    recipe
        What to train, on what, for how long.

    Yields
    ------
    TrainingProgress
        After every step.

    Returns
    -------
    Path
        The final weights, the one ``*.safetensors`` in the output folder.

    Raises
    ------
    DataError
        If images are missing or unreadable, or the checkpoint belongs to another recipe.
    DeviceError
        If the device is not there.
    InputError
        If several processes cannot share the batch.
    """
    device, autocast = choose_device(recipe)
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
    log = _start_log(recipe, state.step) if together.first else None

    started = time.monotonic()
    saved = state.step
    between_steps = True
    batches = make_batches(dataset, state.step, recipe.steps, recipe.workers)
    try:
        while state.step < recipe.steps:
            batch = next(batches)
            between_steps = False
            set_rates(state, recipe.optimizer, recipe.steps)
            terms = training_step(state, recipe, batch, device, autocast, together)
            state.step += 1
            between_steps = True
            now = time.monotonic()
            state.seconds += now - started
            started = now

            scores = None
            if log is not None:
                if state.step % recipe.validate_every == 0 or state.step == recipe.steps:
                    scores = _validate(state, recipe, pairs, device, autocast, log)
                log.write(state.step, terms, scores)
                if state.step % recipe.checkpoint_every == 0:
                    save_state(state, recipe)
                    saved = state.step
            yield TrainingProgress(state.step, recipe.steps, terms, scores)
    finally:
        batches.close()
        if log is not None:
            # Stopped in the middle of a step (by Ctrl-C, say), the state is one that an
            # uninterrupted run never has: the last checkpoint stands.
            if between_steps and state.step != saved:
                save_state(state, recipe)
            log.close()
    if log is not None:
        write_weights(state, recipe)
    together.wait()
    return weights_path(recipe)


def _start_log(recipe: Recipe, step: int) -> RunLog:
    remove_unfinished(recipe.output)
    return RunLog(recipe, step)


def _validate(
    state: TrainingState,
    recipe: Recipe,
    pairs: dict[str, list[Pair]],
    device: torch.device,
    autocast: torch.dtype | None,
    log: RunLog,
) -> Scores:
    """Measure the averaged weights, at the end the final ones, and show what they restore."""
    last = state.step == recipe.steps
    model = final_model(state, recipe) if last else state.averaged.eval()
    if log.wants_pictures(state.step):
        log.show(state.step, sample_pictures(model, pairs, device, autocast))
    return validate(model, pairs, state.prototypes, device, autocast)


def training_step(
    state: TrainingState,
    recipe: StepSettings,
    batch: Batch,
    device: torch.device,
    autocast: torch.dtype | None,
    together: Processes = ALONE,
) -> dict[str, float]:
    """One descent of T, E and D, then one ascent of the potentials. Returns the loss terms.

    Parameters
    ----------
    state, recipe
        What moves, and how.
    batch
        This process's share of the step's samples.
    device, autocast
        Where, and the dtype of autocast (None: none).
    together
        The processes that make the other shares.
    """
    settings = recipe.losses
    x = batch.degraded.to(device, memory_format=torch.channels_last)
    clean = batch.clean.to(device, memory_format=torch.channels_last)
    places = batch.places.to(device)
    # Mixtures belong to no source, and so not to the game.
    alone = losses.window_sources(places, 1) >= 0  # (b,)
    model, potentials = state.model.train(), state.potentials
    weights = potentials.weights

    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        latents = model.encode(x)
        restored = model.decode(x, latents)
        # The barycenter terms see T(z.detach()): if the encoder paid for transport too, it would
        # lower the cost by making the sources alike, and the residual would die.
        z, b = latents.source[alone], latents.barycenter[alone]
        if settings.detach_source:
            z = z.detach()
            b = model.barycenter_map(z)
    # Until here each process had its own b samples; every loss is over all B of the step.
    z, b = together.gather_some(z, alone), together.gather_some(b, alone)
    restored, clean, places = map(together.gather, (restored, clean, places))
    residual, barycenter = map(together.gather, (latents.residual, latents.barycenter))
    sources = losses.window_sources(places, 1)  # (B,), -1 for mixtures
    alone = sources >= 0
    sources = sources[alone]
    fidelity = losses.fidelity_loss(
        restored,
        clean,
        settings.fidelity,
        floor=_floor(settings, state.step),
        coarse_weight=settings.coarse_weight,
    )
    terms = {"fidelity": fidelity}
    _freeze(potentials, True)
    terms["transport"], own = losses.barycenter_losses(z, b, potentials(b), sources, weights)
    _freeze(potentials, False)
    terms["potential"] = own
    contrast, orthogonality = [], []
    for grid in settings.windows:
        residuals = losses.pooled_windows(residual, grid)  # (B grid^2, D)
        barycenters = losses.pooled_windows(barycenter, grid)
        labels = losses.window_sources(places, grid)
        known = labels >= 0
        contrast.append(
            losses.inter_residual_contrast(residuals[known], labels[known], settings.temperature)
        )
        orthogonality.append(losses.barycenter_residual_orthogonality(barycenters, residuals))
    terms["contrast"] = torch.stack(contrast).mean()
    terms["orthogonality"] = torch.stack(orthogonality).mean()
    total = (
        settings.fidelity_weight * terms["fidelity"]
        + settings.barycenter_weight * (terms["transport"] - terms["potential"])
        + settings.residual_weight * (terms["contrast"] + terms["orthogonality"])
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
    values = potentials(b.detach())
    _, ascent = losses.barycenter_losses(z.detach(), b.detach(), values, sources, weights)
    if settings.congruence == "penalty":
        terms["congruence"] = losses.congruence_penalty(values, weights)
        ascent = ascent + terms["congruence"]
    ascent.backward()
    together.average_gradients(potentials)
    state.potentials_optimizer.step()

    average_weights(state.averaged, model, min(recipe.ema, (1 + state.step) / (10 + state.step)))
    update_prototypes(state, residual.detach()[alone], sources)
    return {name: float(value.detach()) for name, value in terms.items()}


def _floor(settings: LossSettings, step: int) -> float:
    """The floor of the fidelity at a step."""
    part = min(1.0, step / settings.floor_steps) if settings.floor_steps else 1.0
    return float(settings.first_floor * (settings.floor / settings.first_floor) ** part)


def _freeze(module: nn.Module, frozen: bool) -> None:
    for parameter in module.parameters():
        parameter.requires_grad_(not frozen)


def make_batches(
    dataset: Dataset[Drawn], start: int, steps: int, workers: int
) -> Generator[Drawn, None, None]:
    """Batches from step `start` on. What a batch holds depends on its step alone."""
    loader: DataLoader[Drawn] = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(start, steps),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        # Its own: from torch's it would draw once more in a run that is resumed.
        generator=torch.Generator(),
    )
    iterator: Iterator[Drawn] = iter(loader)
    with contextlib.closing(_Iterating(iterator)):
        yield from iterator


@dataclass
class _Iterating:
    """Ends the loader's worker processes at once instead of when the garbage collector comes."""

    iterator: Iterator[object]

    def close(self) -> None:
        shutdown = getattr(self.iterator, "_shutdown_workers", None)
        if shutdown is not None:
            shutdown()
