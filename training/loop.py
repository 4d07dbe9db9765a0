"""The one training loop, to be read from top to bottom."""

from __future__ import annotations

import contextlib
import copy
import csv
import logging
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from napari_baryir import __version__
from napari_baryir.errors import DataError, DeviceError
from napari_baryir.network import BaryIR
from napari_baryir.training import losses
from napari_baryir.training.checkpoint import load_checkpoint, save_checkpoint
from napari_baryir.training.datasets import Batch, PairDataset, load_clean_images
from napari_baryir.training.degradations import CLEAN
from napari_baryir.training.potentials import Potentials
from napari_baryir.training.recipe import OptimizerSettings, Recipe
from napari_baryir.training.validation import Scores, validate, validation_pairs
from napari_baryir.weights.files import save_weights

logger = logging.getLogger(__name__)

PROTOTYPE_DECAY = 0.99
"""Per step: prototypes average the last few hundred batches."""


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


@dataclass
class TrainingState:
    """Everything that changes while training, and so everything that a checkpoint holds."""

    model: BaryIR
    averaged: BaryIR
    potentials: Potentials
    model_optimizer: torch.optim.Optimizer
    potentials_optimizer: torch.optim.Optimizer
    prototypes: Tensor
    """(K, D), running mean of the unit residuals of each source."""
    step: int = 0
    seconds: float = 0.0
    """Spent training, over all sessions."""

    _PARTS = ("model", "averaged", "potentials", "model_optimizer", "potentials_optimizer")

    def as_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in self._PARTS}
        # Nothing in the loop draws from torch's generator today; whatever does tomorrow resumes.
        rng = torch.get_rng_state()
        return state | {
            "prototypes": self.prototypes, "step": self.step, "seconds": self.seconds, "rng": rng
        }

    def load_dict(self, state: dict[str, Any]) -> None:
        """Take over what `as_dict` gave."""
        for name in self._PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.prototypes.copy_(state["prototypes"])
        self.step, self.seconds = state["step"], state["seconds"]
        torch.set_rng_state(state["rng"])


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
    device, autocast = _device(recipe)
    images = load_clean_images(recipe.data.train, recipe.data.profile)
    pairs = validation_pairs(recipe.data)
    output = Path(recipe.output)
    output.mkdir(parents=True, exist_ok=True)
    state = start_state(recipe, device)
    if recipe.resume:
        _resume(state, recipe)
    dataset = PairDataset(
        images, recipe.data.profile, recipe.data.batch, recipe.data.patch, recipe.seed
    )
    log = _Log(output / "log.csv", state.step)

    started = time.monotonic()
    saved = state.step
    batches = _batches(dataset, state.step, recipe)
    try:
        while state.step < recipe.steps:
            batch = next(batches)
            _set_rate(state.model_optimizer, recipe.optimizer, state.step, recipe.steps)
            terms = training_step(state, recipe, batch, device, autocast)
            state.step += 1
            now = time.monotonic()
            state.seconds += now - started
            started = now

            scores = None
            if state.step % recipe.validate_every == 0 or state.step == recipe.steps:
                state.averaged.eval()
                scores = validate(state.averaged, pairs, state.prototypes, device, autocast)
            log.write(state.step, terms, scores)
            if state.step % recipe.checkpoint_every == 0:
                save_checkpoint(output, state.as_dict() | {"recipe": _identity(recipe)})
                saved = state.step
            yield TrainingProgress(state.step, recipe.steps, terms, scores)
    finally:
        batches.close()
        if state.step != saved:
            save_checkpoint(output, state.as_dict() | {"recipe": _identity(recipe)})
    return _finish(state, recipe, output)


def training_step(
    state: TrainingState,
    recipe: Recipe,
    batch: Batch,
    device: torch.device,
    autocast: torch.dtype | None,
) -> dict[str, float]:
    """One descent of T, E and D, then one ascent of the potentials. Returns the loss terms."""
    settings = recipe.losses
    x = batch.degraded.to(device, memory_format=torch.channels_last)
    clean = batch.clean.to(device, memory_format=torch.channels_last)
    sources = batch.sources.to(device)
    model, potentials = state.model.train(), state.potentials
    weights = potentials.weights

    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        latents = model.encode(x)
        restored = model.decode(x, latents)
        # The barycenter terms see T(z.detach()): if the encoder paid for transport too, it would
        # lower the cost by making the sources alike, and the residual would die (DESIGN section 8).
        z = latents.source
        b = latents.barycenter
        if settings.detach_source:
            z = z.detach()
            b = model.barycenter_map(z)
    terms = {"fidelity": losses.fidelity_loss(restored, clean, settings.fidelity)}
    _freeze(potentials, True)
    terms["transport"], own = losses.barycenter_losses(z, b, potentials(b), sources, weights)
    _freeze(potentials, False)
    terms["potential"] = own
    contrast, orthogonality = [], []
    for grid in settings.windows:
        residuals = losses.pooled_windows(latents.residual, grid)  # (B grid^2, D)
        barycenters = losses.pooled_windows(latents.barycenter, grid)
        repeated = sources.repeat_interleave(grid * grid)
        contrast.append(
            losses.inter_residual_contrast(residuals, repeated, settings.temperature)
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
    _, ascent = losses.barycenter_losses(
        z.detach(), b.detach(), potentials(b.detach()), sources, weights
    )
    ascent.backward()
    state.potentials_optimizer.step()

    _average(state.averaged, model, min(recipe.ema, (1 + state.step) / (10 + state.step)))
    _update_prototypes(state, latents.residual.detach(), sources)
    return {name: float(value.detach()) for name, value in terms.items()}


def start_state(recipe: Recipe, device: torch.device) -> TrainingState:
    """Networks, potentials and optimisers before the first step."""
    torch.manual_seed(recipe.seed)
    domains = tuple(recipe.data.batch)
    model = BaryIR(recipe.network, domains=domains)
    channels = model.encoder.norm.weight.numel()  # type: ignore[union-attr, operator]
    counts = torch.tensor(list(recipe.data.batch.values()), dtype=torch.float32)
    weights = (1 / counts) / (1 / counts).sum()
    potentials = Potentials(int(channels), weights).to(device)
    # Torch's annotations leave out the documented argument memory_format.
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainingState(
        model=model,
        averaged=copy.deepcopy(model).requires_grad_(False),
        potentials=potentials,
        model_optimizer=_optimizer(model, recipe.optimizer, recipe.optimizer.rate),
        potentials_optimizer=_optimizer(
            potentials, recipe.optimizer, recipe.optimizer.potentials_rate
        ),
        prototypes=torch.zeros(len(domains), int(channels), device=device),
    )


def _optimizer(
    module: nn.Module, settings: OptimizerSettings, rate: float
) -> torch.optim.Optimizer:
    if settings.kind == "rmsprop":
        return torch.optim.RMSprop(module.parameters(), lr=rate)
    return torch.optim.AdamW(
        module.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=settings.weight_decay
    )


def _set_rate(
    optimizer: torch.optim.Optimizer, settings: OptimizerSettings, step: int, steps: int
) -> None:
    rate = settings.rate * min(1.0, (step + 1) / max(settings.warm_up, 1))
    if step >= settings.constant * steps:
        left = (steps - step) / ((1 - settings.constant) * steps)
        rate *= left if settings.schedule == "decay" else 0.1
    for group in optimizer.param_groups:
        group["lr"] = rate


def _freeze(module: nn.Module, frozen: bool) -> None:
    for parameter in module.parameters():
        parameter.requires_grad_(not frozen)


@torch.no_grad()
def _average(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(
        list(averaged.parameters()), [p.detach() for p in model.parameters()], 1 - decay
    )


@torch.no_grad()
def _update_prototypes(state: TrainingState, residual: Tensor, sources: Tensor) -> None:
    """Running mean of the unit residuals of each source; residual (B, D, h, w)."""
    unit = F.normalize(residual.mean(dim=(2, 3)), dim=1)  # (B, D)
    for source in sources.unique():
        mean = unit[sources == source].mean(dim=0)
        decay = PROTOTYPE_DECAY if state.step else 0.0
        state.prototypes[source] = decay * state.prototypes[source] + (1 - decay) * mean


def _batches(
    dataset: PairDataset, start: int, recipe: Recipe
) -> Generator[Batch, None, None]:
    """Batches from `start` on. What a batch holds depends on its step alone."""
    loader: DataLoader[Batch] = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(start, recipe.steps),
        num_workers=recipe.workers,
        prefetch_factor=4 if recipe.workers else None,
    )
    iterator: Iterator[Batch] = iter(loader)
    with contextlib.closing(_Iterating(iterator)):
        yield from iterator


@dataclass
class _Iterating:
    """Ends the loader's worker processes at once instead of when the garbage collector comes."""

    iterator: Iterator[Batch]

    def close(self) -> None:
        shutdown = getattr(self.iterator, "_shutdown_workers", None)
        if shutdown is not None:
            shutdown()


def _device(recipe: Recipe) -> tuple[torch.device, torch.dtype | None]:
    """Device and dtype of autocast (None: float32 throughout)."""
    name = recipe.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device {name!r} cannot be used ({error}); try device=cpu") from None
    if recipe.precision == "float32":
        return device, None
    if recipe.precision == "bfloat16" or device.type == "cuda":
        return device, torch.bfloat16
    return device, torch.bfloat16 if computes_in_bfloat16() else None


def computes_in_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16; emulated it would be slower than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and any(
        torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16")
    )


def _identity(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe must not change between a checkpoint and its resumption."""
    return recipe.model_dump(
        mode="json", include={"name", "seed", "network", "data", "optimizer", "losses", "steps"}
    )


def _resume(state: TrainingState, recipe: Recipe) -> None:
    checkpoint = load_checkpoint(recipe.output)
    if checkpoint is None:
        logger.info("no checkpoint in %s: starting anew", recipe.output)
        return
    old, new = checkpoint["recipe"], _identity(recipe)
    changed = [key for key in new if key not in ("data", "steps") and old.get(key) != new[key]]
    if checkpoint["step"] > recipe.optimizer.constant * min(old["steps"], new["steps"]):
        # The learning rate has begun to fall, at a place that `steps` decided.
        changed += ["steps"] * (old["steps"] != new["steps"])
    for moved in ("train", "validation"):  # the same data may have moved to another folder
        old["data"].pop(moved), new["data"].pop(moved)
    if old["data"] != new["data"]:
        changed.append("data")
    if changed:
        raise DataError(
            f"the checkpoint in {recipe.output} was made with other values of {', '.join(changed)}; "
            "restore them, choose another output, or start anew with resume=false"
        )
    state.load_dict(checkpoint)
    logger.info("going on from step %d of %d", state.step, recipe.steps)


def _finish(state: TrainingState, recipe: Recipe, output: Path) -> Path:
    """Write the averaged weights with everything that says where they come from."""
    model = state.averaged.eval()
    model.prototypes = state.prototypes.clone()
    model.provenance = {
        "recipe": recipe.model_dump(mode="json"),
        "steps": state.step,
        "training_seconds": round(state.seconds),
        "napari_baryir": __version__,
        "torch": torch.__version__,
        "licence": recipe.licence,
    }
    path = output / f"{recipe.name}.safetensors"
    save_weights(
        model, path, dtype=torch.float16 if recipe.half_precision_file else torch.float32
    )
    return path


class _Log:
    """A CSV file of losses and scores, one row a validation, cut back to where a run resumes."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.sums: dict[str, float] = {}
        self.count = 0
        rows: list[list[str]] = []
        if step and path.is_file():
            with path.open(newline="") as file:
                rows = [row for i, row in enumerate(csv.reader(file)) if i == 0 or int(row[0]) <= step]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        self.has_header = bool(rows)

    def write(self, step: int, terms: dict[str, float], scores: Scores | None) -> None:
        """Add to the means; write a row when there are scores."""
        self.count += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        if scores is None:
            return
        row: dict[str, float] = {"step": step}
        row |= {name: round(value / self.count, 5) for name, value in self.sums.items()}
        row |= {f"psnr {name}": round(value, 3) for name, value in scores.restored.items()}
        row |= {f"input {name}": round(value, 3) for name, value in scores.untouched.items()}
        row |= {"accuracy": round(scores.accuracy, 4), "residual": round(scores.residual_length, 5)}
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if not self.has_header:
                writer.writeheader()
                self.has_header = True
            writer.writerow(row)
        self.sums, self.count = {}, 0


__all__ = ["CLEAN", "TrainingProgress", "train"]
