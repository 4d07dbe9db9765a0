"""The state of a fine-tuning: the network, the best so far, and the checkpoint beside it."""

from __future__ import annotations

import copy
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_baryir.domains import CLEAN
from napari_baryir.errors import DataError, InputError
from napari_baryir.network import BaryIR
from napari_baryir.network.layers import on_device
from napari_baryir.steps import finish
from napari_baryir.training.checkpoint import changed_keys, load_checkpoint, save_checkpoint
from napari_baryir.training.data.made_pairs import plane_of
from napari_baryir.training.finetune.low_rank import add_low_rank, merged_state
from napari_baryir.training.finetune.material import Material
from napari_baryir.training.finetune.plan import TuningPlan, make_plan
from napari_baryir.training.finetune.settings import FinetuneSettings, choose_sizes
from napari_baryir.training.names import YOURS
from napari_baryir.training.state import TrainingState, state_around
from napari_baryir.training.validation import Scores, ValidationProgress, iter_validate
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.files import ESTIMATES
from napari_baryir.weights.header import refuse_auto
from napari_baryir.weights.registry import REGISTRY

FORGIVEN = 0.3
"""dB that an old domain may lose; a greater loss counts against the gain."""
SEEN = 40.0
"""dB of PSNR, an error of 1 % of the range: a loss of old domains above that is not seen."""
LEAST_GAIN = 0.01
"""dB that a validation must gain to count as better."""

IDENTITY = {
    "settings": "settings",
    "sizes": "batch or patch sizes",
    "start": "starting model",
    "domains": "degradations",
    "train": "training images",
    "validation": "validation images",
}
"""The entries of `TuningRun.identity`, in words."""


class Comparison(NamedTuple):
    """A validation image to look at, (H, W, 3) float32 about [0, 1] each."""

    degraded: NDArray[np.float32]
    before: NDArray[np.float32]
    """The image that the starting model restores."""
    after: NDArray[np.float32]
    """The image that the averaged weights restore now."""
    clean: NDArray[np.float32] | None
    """The truth; None if there is none."""


@dataclass
class TuningRun:
    """One fine-tuning between its start and its end."""

    settings: FinetuneSettings
    path: Path
    start: BaryIR
    material: Material
    plan: TuningPlan
    state: TrainingState
    device: torch.device
    autocast: torch.dtype | None
    sizes: tuple[int, int]
    """Batch and patch."""
    before: Scores | None = None
    best: Scores | None = None
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    best_prototypes: Tensor | None = None
    share: float = 1.0
    """Share of the way from the starting weights to the best ones that `best_model` goes."""
    unimproved: int = 0
    """Validations since the best."""

    _KEPT = ("best_step", "best_weights", "best_prototypes", "unimproved")

    @property
    def folder(self) -> Path:
        """Return the folder of log and checkpoint: ``worms.run`` beside ``worms.safetensors``."""
        return self.path.with_suffix(".run")

    def measure(self, model: BaryIR | None = None) -> Scores:
        """Validate a network; None: the averaged weights."""
        return finish(self.measuring(model))

    def measuring(self, model: BaryIR | None = None) -> Generator[ValidationProgress, None, Scores]:
        """Validate a network as `measure` does, image by image."""
        if model is None:
            tried, prototypes = self.state.averaged, self.state.prototypes
        else:
            tried = on_device(model, self.device)
            assert tried.prototypes is not None
            prototypes = tried.prototypes
        rows = prototypes[self.plan.rows]
        return iter_validate(tried.eval(), self.plan.pairs, rows, self.device, self.autocast)

    def consider(self, scores: Scores) -> None:
        """Keep the averaged weights if they are the best so far."""
        if self.before is None:
            self.before = self.best = scores
            return
        assert self.best is not None
        if merit(scores, self.before) > merit(self.best, self.before) + LEAST_GAIN:
            self.best, self.best_step, self.unimproved = scores, self.state.step, 0
            weights = self.state.averaged.state_dict()
            self.best_weights = {name: value.detach().clone() for name, value in weights.items()}
            self.best_prototypes = self.state.prototypes.clone()
        else:
            self.unimproved += 1

    @torch.inference_mode()
    def look(self, model: BaryIR | None = None) -> Comparison:
        """Restore a validation image with the starting model and another; None: as `measure`."""
        degraded, clean = self.plan.shown
        x = degraded.to(self.device)
        tuned = (self.state.averaged if model is None else model.to(self.device)).eval()
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            answers = [model(x).restored for model in (self.start, tuned)]
        before, after = map(plane_of, answers)
        truth = None if clean is None else plane_of(clean)
        return Comparison(plane_of(degraded), before, after, truth)

    def best_model(self) -> BaryIR:
        """Build the network of the best weights, or that `share` of the way to them."""
        best = copy.deepcopy(self.state.averaged).cpu()
        best.load_state_dict(self.best_weights)
        model = self.start.for_domains(self.material.domains)
        started = model.state_dict()
        model.load_state_dict(
            {
                name: torch.lerp(started[name].cpu(), weight, self.share)
                for name, weight in merged_state(best).items()
                if name not in ESTIMATES
            }
        )
        assert self.best_prototypes is not None
        model.prototypes = self.best_prototypes.cpu()
        return model.eval()

    def identity(self) -> dict[str, Any]:
        """List what must be the same for a run to go on."""
        return {
            "settings": self.settings.identity(),
            "sizes": list(self.sizes),
            "start": self.start.weights_hash,
            "domains": list(self.material.domains),
            "train": self.material.train.names,
            "validation": self.material.validation.names,
        }

    def save(self) -> None:
        """Write everything that is needed to go on."""
        if self.before is None or self.best is None:
            return
        save_checkpoint(
            self.folder,
            self.state.as_dict()
            | {
                "finetune": self.identity(),
                "before": asdict(self.before),
                "best": asdict(self.best),
            }
            | {name: getattr(self, name) for name in self._KEPT},
        )
        self.state.saved = self.state.step

    def resume(self) -> None:
        """Go on with the run that was stopped in the same folder.

        Raises `DataError` if there is none, or it was another one.
        """
        saved = _stopped(self.folder)
        old, new = saved["finetune"], self.identity()
        changed = [IDENTITY[name] for name in changed_keys(old, new)]
        if changed:
            raise DataError(
                f"the stopped run in {self.folder} had other {', '.join(changed)}; "
                "restore them, or start anew without resume"
            )
        self.state.load_dict(saved)
        self.before, self.best = Scores(**saved["before"]), Scores(**saved["best"])
        for name in self._KEPT:
            setattr(self, name, saved[name])


def begin(
    settings: FinetuneSettings,
    path: Path,
    start: BaryIR,
    material: Material,
    device: torch.device,
    autocast: torch.dtype | None,
) -> TuningRun:
    """Set up the network, its potentials and the data of a run."""
    if settings.resume:  # memory may have become free, or scarce, since
        batch, patch = _stopped(path.with_suffix(".run"))["finetune"]["sizes"]
        sizes = (settings.batch or batch, settings.patch or patch)
    else:
        sizes = choose_sizes(settings, start, device)
    plan = make_plan(material, start, settings, *sizes)
    torch.manual_seed(settings.seed)
    model = tuned_copy(start, material.domains, settings)
    state = state_around(model, plan.counts, settings.optimizer, device)
    if start.prototypes is not None:
        for row, name in enumerate(start.domains):
            state.prototypes[material.domains.index(name)] = start.prototypes[row]
    return TuningRun(settings, path, start, material, plan, state, device, autocast, sizes)


def stopped_settings(output: str, settings: FinetuneSettings) -> FinetuneSettings:
    """Return the own settings of the run that was stopped beside an output.

    Device, precision and calibration are those of `settings`. Raises `DataError` if there is no
    such run.
    """
    own = _stopped(output_path(output).with_suffix(".run"))["finetune"]["settings"]
    kept = {name: getattr(settings, name) for name in ("device", "precision", "calibration_scenes")}
    return FinetuneSettings.model_validate({**own, **kept, "resume": True})


def _stopped(folder: Path) -> dict[str, Any]:
    """Load the checkpoint of a run that was stopped."""
    saved = load_checkpoint(folder)
    if saved is None or "finetune" not in saved:
        raise DataError(f"there is no stopped run in {folder} to go on with; start without resume")
    return saved


def tuned_copy(start: BaryIR, domains: tuple[str, ...], settings: FinetuneSettings) -> BaryIR:
    """Copy the starting network for these domains, and freeze what does not learn."""
    model = start.for_domains(domains)
    if model.scene_side:  # patches alone say little of scenes: what decides for these stays
        model.get_submodule("decoder.head").requires_grad_(False)
    if settings.mode == "frozen-encoder":
        model.encoder.requires_grad_(False)
    elif settings.mode == "lora":
        add_low_rank(model, settings.rank)
    return model


def merit(scores: Scores, before: Scores, price: float = 1.0) -> float:
    """Compute mean PSNR of the user's images, less the `price` of what was forgotten, dB."""
    return scores.restored[YOURS] - price * forgotten(scores, before)


def forgotten(scores: Scores, before: Scores) -> float:
    """Add up what old domains lost beyond `FORGIVEN` each, dB; above `SEEN` nothing is lost.

    Untouched images are left out: hundredths of a grey value are decibels there.
    """
    lost = [
        max(0.0, min(before.restored[name], SEEN) - min(scores.restored[name], SEEN) - FORGIVEN)
        for name in before.restored
        if name not in (YOURS, CLEAN)
    ]
    return sum(lost)


def output_path(output: str) -> Path:
    """Return where the weights go; a bare name is put into the user's model folder.

    Raises `InputError` if it is no name of a weights file, or one that a model of ours has.
    """
    path = Path(output)
    if len(path.parts) == 1 and path.suffix == "":
        path = model_folder() / f"{output}.safetensors"
    refuse_auto(path)
    if path.suffix.lower() != ".safetensors" or not path.stem:
        raise InputError(
            f"output {output!r}: give a file that ends in .safetensors, or a name without suffix "
            "for the plugin's own model folder"
        )
    if path.stem in REGISTRY:
        raise InputError(f"output {output!r}: a model that ships has that name; choose another")
    return path


def check_not_start(path: Path, start: Path) -> None:
    """Refuse to replace the starting model by its own offspring."""
    if path.exists() and start.exists() and path.samefile(start):
        raise InputError(f"output {path} is the starting model; choose another file")
