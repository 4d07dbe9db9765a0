"""The one training loop, to be read from top to bottom."""

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
from napari_baryir.training.data import load_data
from napari_baryir.training.datasets import Batch
from napari_baryir.training.device import choose_device
from napari_baryir.training.log import TrainingLog
from napari_baryir.training.recipe import LossSettings, Recipe, StepSettings
from napari_baryir.training.state import (
    TrainingState,
    average_weights,
    resume,
    save_state,
    set_rates,
    start_state,
    update_prototypes,
    write_weights,
)
from napari_baryir.training.validation import Scores, validate

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
    """Of the averaged weights, where this step ended with a validation."""


def train(recipe: Recipe) -> Generator[TrainingProgress, None, Path]:
    """Train a network; closing the generator stops it after a last checkpoint.

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
    """
    device, autocast = choose_device(recipe)
    dataset, pairs = load_data(recipe)
    output = Path(recipe.output)
    output.mkdir(parents=True, exist_ok=True)
    state = start_state(recipe, device)
    if recipe.resume:
        resume(state, recipe)
    log = TrainingLog(output / "log.csv", state.step)

    started = time.monotonic()
    saved = state.step
    between_steps = True
    batches = make_batches(dataset, state.step, recipe.steps, recipe.workers)
    try:
        while state.step < recipe.steps:
            batch = next(batches)
            between_steps = False
            set_rates(state, recipe.optimizer, recipe.steps)
            terms = training_step(state, recipe, batch, device, autocast)
            state.step += 1
            between_steps = True
            now = time.monotonic()
            state.seconds += now - started
            started = now

            scores = None
            if state.step % recipe.validate_every == 0 or state.step == recipe.steps:
                state.averaged.eval()
                scores = validate(state.averaged, pairs, state.prototypes, device, autocast)
            log.write(state.step, terms, scores)
            if state.step % recipe.checkpoint_every == 0:
                save_state(state, recipe)
                saved = state.step
            yield TrainingProgress(state.step, recipe.steps, terms, scores)
    finally:
        batches.close()
        # Stopped in the middle of a step (by Ctrl-C, say), the state is one that an uninterrupted
        # run never has: the last checkpoint stands.
        if between_steps and state.step != saved:
            save_state(state, recipe)
    return write_weights(state, recipe)


def training_step(
    state: TrainingState,
    recipe: StepSettings,
    batch: Batch,
    device: torch.device,
    autocast: torch.dtype | None,
) -> dict[str, float]:
    """One descent of T, E and D, then one ascent of the potentials. Returns the loss terms."""
    settings = recipe.losses
    x = batch.degraded.to(device, memory_format=torch.channels_last)
    clean = batch.clean.to(device, memory_format=torch.channels_last)
    places = batch.places.to(device)
    sources = losses.window_sources(places, 1)  # (B,), -1 for mixtures
    alone = sources >= 0
    model, potentials = state.model.train(), state.potentials
    weights = potentials.weights

    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        latents = model.encode(x)
        restored = model.decode(x, latents)
        # The barycenter terms see T(z.detach()): if the encoder paid for transport too, it would
        # lower the cost by making the sources alike, and the residual would die.
        # Mixtures belong to no source, and so not to the game.
        z, b, sources = latents.source[alone], latents.barycenter[alone], sources[alone]
        if settings.detach_source:
            z = z.detach()
            b = model.barycenter_map(z)
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
        residuals = losses.pooled_windows(latents.residual, grid)  # (B grid^2, D)
        barycenters = losses.pooled_windows(latents.barycenter, grid)
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
    state.potentials_optimizer.step()

    average_weights(state.averaged, model, min(recipe.ema, (1 + state.step) / (10 + state.step)))
    update_prototypes(state, latents.residual.detach()[alone], sources)
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
