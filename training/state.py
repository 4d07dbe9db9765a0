"""The state of a training: networks, optimisers, averages; made, moved and resumed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_baryir.errors import DataError
from napari_baryir.network import BaryIR
from napari_baryir.network.config import GatedConfig
from napari_baryir.network.layers import on_device
from napari_baryir.training.bank import seed_bank
from napari_baryir.training.game import Potentials
from napari_baryir.training.losses import Congruence
from napari_baryir.training.recipe import OptimizerSettings, Recipe
from napari_baryir.version import __version__
from napari_baryir.weights.files import ESTIMATES, save_weights
from napari_baryir.weights.registry import load_model

NEW_PARTS = {
    "deblurring": ("decoder.deblurring.",),
    "spectrum": (".spectrum.",),
    "scene": ("decoder.head.", "decoder.gate.", "decoder.coarse."),
    "steering": ("subspaces.",),
}
"""Settings of a compact network that another one can be given, and what stands in the names of the
parameters that come with them."""
_NOT_OF_RESULT = {"output", "device", "workers", "resume", "pictures"}
"""Keys of a recipe that do not change the weights."""
PROTOTYPE_DECAY = 0.99
"""Per step: prototypes average the last few hundred batches."""


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
    """Time spent training, over all sessions."""
    saved: int = 0
    """Step of the last checkpoint."""

    _PARTS = ("model", "averaged", "potentials", "model_optimizer", "potentials_optimizer")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values and tensors."""
        state: dict[str, Any] = {name: getattr(self, name).state_dict() for name in self._PARTS}
        # Nothing in the loop draws from torch's generator today; if it does one day, it resumes.
        rng = torch.get_rng_state()
        return state | {
            "prototypes": self.prototypes,
            "step": self.step,
            "seconds": self.seconds,
            "rng": rng,
        }

    def load_dict(self, state: dict[str, Any]) -> None:
        """Take over what `as_dict` gave."""
        for name in self._PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.prototypes.copy_(state["prototypes"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.saved = self.step
        torch.set_rng_state(state["rng"])


def start_state(recipe: Recipe, device: torch.device) -> TrainingState:
    """Make networks, potentials and optimisers for the first step."""
    torch.manual_seed(recipe.seed)
    model = BaryIR(recipe.network, domains=tuple(recipe.data.batch))
    if recipe.init is None:
        seed_bank(model, recipe.data.profile)
    else:
        new = _start_from(model, recipe.init, recipe.data.profile)
        if new and recipe.init_share:
            raise DataError(f"init_share: {recipe.init} has no {', '.join(new)} to share")
    return state_around(
        model, recipe.data.counts, recipe.optimizer, device, congruence=recipe.losses.congruence
    )


def state_around(
    model: BaryIR,
    counts: Sequence[float],
    optimizer: OptimizerSettings,
    device: torch.device,
    *,
    congruence: Congruence = "exact",
) -> TrainingState:
    """Give a network potentials, optimisers and averages, all of them new.

    Those parameters of the model that require a gradient are trained. `counts` are n_k, the
    samples of each of the model's domains per step (or in proportion to them).
    """
    channels = model.embedding_width
    inverse = 1 / torch.tensor(counts, dtype=torch.float32)
    weights = inverse / inverse.sum()
    potentials = Potentials(channels, weights, congruent=congruence == "exact").to(device)
    model = on_device(model, device)
    return TrainingState(
        model=model,
        averaged=copy.deepcopy(model).requires_grad_(False),
        potentials=potentials,
        model_optimizer=_optimizer(model, optimizer, optimizer.rate),
        potentials_optimizer=_optimizer(potentials, optimizer, optimizer.potentials_rate),
        prototypes=torch.zeros(len(counts), channels, device=device),
    )


def _start_from(model: BaryIR, name: str, profile: str) -> list[str]:
    """Take over the weights of another model; return the settings of the parts that it lacks."""
    start = load_model(name)
    # What the estimates read is of the old weights: this run makes its own.
    tensors = {k: v for k, v in start.state_dict().items() if k not in ESTIMATES}
    network, lacks = start.config, []
    if isinstance(network, GatedConfig) and isinstance(model.config, GatedConfig):
        wanted = {key: getattr(model.config, key) for key in NEW_PARTS}
        lacks = [key for key in NEW_PARTS if getattr(network, key) != wanted[key]]
        new = [part for key in lacks for part in NEW_PARTS[key]]
        if "deblurring" in lacks:  # seconds of linear algebra, else not needed
            seed_bank(model, profile)
        network = network.model_copy(update=wanted)
        tensors = {k: v for k, v in tensors.items() if not any(part in k for part in new)}
        tensors |= {k: v for k, v in model.state_dict().items() if any(part in k for part in new)}
    for what, ours, theirs in (
        ("network", model.config, network),
        ("domains", model.domains, start.domains),
    ):
        if ours != theirs:
            raise DataError(f"init: the {what} of {name} are {theirs}, but the recipe's are {ours}")
    model.load_state_dict(tensors, strict=True)
    return lacks


def _optimizer(
    module: nn.Module, settings: OptimizerSettings, rate: float
) -> torch.optim.Optimizer:
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if settings.kind == "rmsprop":
        return torch.optim.RMSprop(trained, lr=rate)
    return torch.optim.AdamW(
        trained, lr=rate, betas=(0.9, 0.95), weight_decay=settings.weight_decay
    )


def set_rates(state: TrainingState, settings: OptimizerSettings, steps: int) -> None:
    """Set the learning rates for a step; that of the potentials falls with "step" only."""
    rate = settings.rate * min(1.0, (state.step + 1) / max(settings.warm_up, 1))
    if state.step >= settings.constant * steps:
        left = (steps - state.step) / ((1 - settings.constant) * steps)
        rate *= left if settings.schedule == "decay" else 0.1
        if settings.schedule == "step":
            for group in state.potentials_optimizer.param_groups:
                group["lr"] = 0.1 * settings.potentials_rate
    for group in state.model_optimizer.param_groups:
        group["lr"] = rate


def average_weights(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Move `averaged` towards `model` by ``1 - decay``."""
    step = get_ema_multi_avg_fn(decay)
    step(list(averaged.parameters()), list(model.parameters()), 0)


@torch.no_grad()
def update_prototypes(state: TrainingState, residual: Tensor, sources: Tensor) -> None:
    """Move the mean of the unit residuals of each source; residual (B, D, h, w)."""
    unit = F.normalize(residual.mean(dim=(2, 3)), dim=1)  # (B, D)
    for source in sources.unique():
        mean = unit[sources == source].mean(dim=0)
        # The first mean of a source stands as it is.
        decay = PROTOTYPE_DECAY if bool(state.prototypes[source].any()) else 0.0
        state.prototypes[source] = decay * state.prototypes[source] + (1 - decay) * mean


def _portable(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe without keys of this computer; data folders keep their last names only."""
    values = recipe.model_dump(mode="json", exclude=_NOT_OF_RESULT)
    if recipe.init is not None:
        values["init"] = Path(recipe.init).name
    for folder in ("train", "validation"):
        values["data"][folder] = end_of(values["data"][folder])
    return values


def end_of(path: str) -> str:
    """Return the last two parts of a path, which say nothing of this computer."""
    return "/".join(Path(path).parts[-2:]).lstrip("/")


def weights_path(recipe: Recipe) -> Path:
    """Return where the final weights go."""
    return Path(recipe.output) / f"{recipe.name}.safetensors"


def final_model(state: TrainingState, recipe: Recipe) -> BaryIR:
    """Give the averaged weights, with `init_share` of the starting ones."""
    if recipe.init is None or not recipe.init_share:
        return state.averaged.eval()
    mixed = copy.deepcopy(state.averaged)
    start = load_model(recipe.init).to(state.prototypes.device)
    average_weights(mixed, start, 1 - recipe.init_share)
    return mixed.eval()


def write_weights(state: TrainingState, recipe: Recipe) -> Path:
    """Write the final model with everything that says where it comes from."""
    model = final_model(state, recipe)
    model.prototypes = state.prototypes.clone()
    model.provenance = {
        "name": recipe.name,
        "image_kind": recipe.data.profile,
        "recipe": _portable(recipe),
        "steps": state.step,
        "training_seconds": round(state.seconds),
        "napari_baryir": __version__,
        "torch": torch.__version__,
        "licence": recipe.licence,
    }
    path = weights_path(recipe)
    save_weights(model, path, dtype=torch.float16 if recipe.half_precision_file else torch.float32)
    return path
