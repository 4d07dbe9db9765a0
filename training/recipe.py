"""Recipes: everything that decides a training run, typed and frozen, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from napari_baryir.domains import CLEAN
from napari_baryir.errors import InputError, in_words
from napari_baryir.network.config import BaryIRConfig, Frozen
from napari_baryir.training.degradations import DEGRADATIONS
from napari_baryir.training.losses import Congruence, Fidelity

HELD_OUT = "held out"
"""Stands for a part of the training data as the validation data."""


class DataSettings(Frozen):
    """The images that the network sees."""

    profile: Literal["photo", "microscopy"]
    """The profile of the degradations."""
    train: str
    """Folder of clean images, read recursively; or "skimage"."""
    validation: str
    """Folder of clean images to choose by; or "skimage"."""
    batch: Annotated[dict[str, PositiveInt], Field(min_length=1)]
    """Domain to its number of samples in a batch; "clean" for untouched ones."""
    patch: PositiveInt = 128
    """Side of the patches, in pixels; a multiple of 8."""
    in_turn: Annotated[int, Field(ge=0)] = 0
    """Further samples in a batch that suffer two degradations, one after the other."""
    side_by_side: Annotated[int, Field(ge=0)] = 0
    """Further samples in a batch that suffer two degradations, each on a part of the patch."""
    synthetic: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of microscopy's clean fields that are drawn from random processes, not from `train`: a
    few hundred fields show too little of what there is under microscopes. 0 for your own only."""
    validation_images: PositiveInt = 8
    """Clean images per domain at each validation."""
    validation_side: PositiveInt = 256
    """Largest side of the validation images, cropped from their centre."""
    layout: Literal["clean", "paper"] = "clean"
    """"clean": `train` and `validation` hold clean images, which are degraded on the fly. "paper":
    `train` holds the paper's training data as its README lays them out, and `validation` is
    "held out" from them."""
    sigmas: tuple[Annotated[float, Field(gt=0)], ...] = (15.0, 25.0, 50.0)
    """Standard deviations of the noise in the paper's layout, of 255."""
    epoch: dict[str, PositiveInt] = Field(default_factory=dict)
    """In the paper's layout: domain to its samples per epoch (files times repetitions), which
    decide lambda. Empty: those of a batch do."""
    shuffled: PositiveInt | None = None
    """In the paper's layout: that many samples a batch, drawn from a shuffled list of all samples
    of an epoch, as published; the counts of `batch` then say nothing."""
    incomplete: bool = False
    """In the paper's layout: whether to train though the published sets are not all there."""

    @model_validator(mode="after")
    def _fits(self) -> DataSettings:
        known = [*DEGRADATIONS[self.profile], CLEAN]
        unknown = [name for name in self.batch if name not in known]
        if unknown:
            raise ValueError(f"no domain {unknown} in profile {self.profile!r}; known: {known}")
        if self.patch % 8 or self.validation_side % 8:
            raise ValueError("patch and validation_side must be multiples of 8")
        if self.in_turn and len(set(self.batch) - {CLEAN}) < 2:
            raise ValueError("in_turn needs two domains besides clean in the batch")
        if self.side_by_side and len(self.batch) < 2:
            raise ValueError("side_by_side needs two domains in the batch")
        if self.layout == "paper":
            self._fits_the_paper()
        elif self.epoch or self.shuffled:
            raise ValueError('epoch and shuffled are for layout = "paper"')
        return self

    def _fits_the_paper(self) -> None:
        """Check what only the paper's layout has."""
        if self.profile != "photo" or CLEAN in self.batch or self.in_turn or self.side_by_side:
            raise ValueError(
                'layout = "paper" has photographs of five domains, neither clean ones nor mixtures'
            )
        if self.validation != HELD_OUT:
            raise ValueError(f'layout = "paper" validates on what is "{HELD_OUT}"')
        if self.epoch and set(self.epoch) != set(self.batch):
            raise ValueError("epoch and batch must have the same domains")
        if self.shuffled and not self.epoch:
            raise ValueError("shuffled needs epoch")

    @property
    def size(self) -> int:
        """Return the number of samples of a step, mixtures included."""
        return self.shuffled or sum(self.batch.values()) + self.in_turn + self.side_by_side

    @property
    def counts(self) -> list[int]:
        """Return n_k in the order of the domains; lambda_k is proportional to 1 / n_k."""
        return [(self.epoch or self.batch)[domain] for domain in self.batch]


class OptimizerSettings(Frozen):
    """Optimisers and learning rates of the network and the potentials."""

    kind: Literal["adamw", "rmsprop"] = "adamw"
    """AdamW; or RMSprop with PyTorch's defaults, as published."""
    rate: PositiveFloat = 1e-3
    """Highest learning rate of the network."""
    potentials_rate: PositiveFloat = 1e-4
    """Learning rate of the potentials."""
    warm_up: Annotated[int, Field(ge=0)] = 200
    """Steps over which the rate rises linearly."""
    schedule: Literal["decay", "step"] = "decay"
    """Constant, then linearly to zero; or x0.1 once, as published."""
    constant: Annotated[float, Field(gt=0, le=1)] = 0.6
    """The part of the steps after which the rate falls. Until there `steps` may still be changed
    when a run is resumed, and the result is that of a run with the new `steps` from the start."""
    clip: PositiveFloat | None = 1.0
    """Largest norm of the gradient; None for no limit."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight decay of AdamW."""


class LossSettings(Frozen):
    """Weights of the terms in `napari_baryir.training.losses`."""

    fidelity: Fidelity = "log_mse"
    """Distance between restored and clean images."""
    fidelity_weight: PositiveFloat = 1.0
    """Sigma."""
    floor: PositiveFloat = 1e-3
    """Floor of the mean square error in "log_mse"."""
    first_floor: PositiveFloat = 0.02
    """The floor at the first step; it falls geometrically to `floor` over `floor_steps`. Near
    their optimum the gradient of the log is steep, so with a low floor images that are nearly right
    can outweigh those that are dark or hazy."""
    floor_steps: Annotated[int, Field(ge=0)] = 2000
    """Steps over which the floor falls."""
    coarse_weight: NonNegativeFloat = 0.5
    """Weight of the same distance on means over 8x8 pixels, within the fidelity."""
    scene_weight: NonNegativeFloat = 0.5
    """Weight of the same distance between the corrected reduced picture of a scene and its target;
    for networks with a scene."""
    scene_floor: NonNegativeFloat = 0.0
    """Floor of that distance until `scene_steps`. With a low floor a doubtful scene is best left
    alone, and haze is never learnt: a clean picture that is taken for hazy costs more than a hazy
    one that comes right gains."""
    scene_steps: Annotated[int, Field(ge=0)] = 0
    """Until this step scenes learn from their own distance alone; then patches teach them too, and
    the floor is that of the patches."""
    subspace_weight: NonNegativeFloat = 0.1
    """Weight of the part of a residual outside of its degradation's subspace; for networks that can
    be steered."""
    barycenter_weight: NonNegativeFloat = 0.1
    """Weight of transport cost minus potentials."""
    residual_weight: NonNegativeFloat = 0.2
    """gamma, of IRC and BRO."""
    temperature: PositiveFloat = 0.07
    """tau of IRC."""
    windows: tuple[PositiveInt, ...] = (1, 2, 4)
    """Grids over which residuals are pooled and contrasted; several, so that parts count too."""
    detach_source: bool = True
    """Whether only T pays for transport. False (as published) lets the encoder make sources alike.
    """
    congruence: Congruence = "exact"
    """The way to sum_k lambda_k f_k = 0: "exact", by construction; or "penalty", ten times its
    square over the whole batch (the published code adds it for one sample of the batch)."""


class TrainingSettings(Frozen):
    """The settings that a recipe and a fine-tuning share."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of everything random."""
    device: str = "auto"
    """"auto", "cpu", "cuda", "cuda:1", "mps"."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """"auto": bfloat16 where the CPU or GPU computes in it."""


class Recipe(TrainingSettings):
    """One training run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """Name of the weights file it writes."""
    description: str
    """Command, hardware, duration and measured score."""
    licence: str = ""
    """Licence of the weights, as far as the data decide it."""
    init: str | None = None
    """Weights to start from, a file or a model's name; None for random ones. Their network and
    domains must be the recipe's."""
    init_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the starting weights in the final ones. Between the two, what is learnt is mostly
    there, and single images are misjudged less often (WiSE-FT: Wortsman et al., "Robust fine-tuning
    of zero-shot models", CVPR 2022)."""
    output: str
    """Folder for checkpoint, log and final weights."""
    steps: PositiveInt
    bank_steps: Annotated[int, Field(ge=0)] = 0
    """Steps in which the bank of large filters learns alone, before the first of `steps`."""
    checkpoint_every: PositiveInt = 200
    """Steps."""
    validate_every: PositiveInt = 1000
    """Steps."""
    resume: bool = True
    """Whether to go on from the output folder's checkpoint, where there is one."""
    pictures: Annotated[int, Field(ge=0)] = 50
    """At most so many validations of a run also show sample pictures, spread evenly; 0: none."""
    workers: Annotated[int, Field(ge=0, le=64)] = 1
    """Processes that make pairs; 0 makes them in the loop."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the averaged weights, which are the ones that are kept."""
    half_precision_file: bool = True
    """Whether the final weights are stored in float16."""
    network: BaryIRConfig
    data: DataSettings
    optimizer: OptimizerSettings = OptimizerSettings()
    losses: LossSettings = LossSettings()

    @model_validator(mode="after")
    def _shares_something(self) -> Recipe:
        if self.init_share and self.init is None:
            raise ValueError("init_share needs init")
        return self


class StepSettings(Protocol):
    """The settings that one training step reads, of a recipe or of a fine-tuning."""

    @property
    def losses(self) -> LossSettings: ...
    @property
    def optimizer(self) -> OptimizerSettings: ...
    @property
    def ema(self) -> float: ...


def shipped_recipes() -> dict[str, Path]:
    """Map the names of the recipes that come with the package to their paths."""
    folder = Path(str(resources.files("napari_baryir.training") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(recipe: str, overrides: Iterable[str] = ()) -> Recipe:
    """Read a TOML file, or a recipe that ships by its name, and change some of its values.

    `overrides` are ``key=value``; dots reach into tables: ``data.train=photos``. Values are TOML,
    or plain text. Raises `InputError` if there is no such recipe, a key is unknown, or a value does
    not fit.
    """
    shipped = shipped_recipes()
    path = Path(recipe)
    if not path.is_file():
        if recipe not in shipped:
            raise InputError(
                f"no recipe {recipe!r}: neither a file nor one of {', '.join(shipped)}"
            )
        path = shipped[recipe]
    values = read_toml(path)
    for override in overrides:
        _override(values, override)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise InputError(f"recipe {recipe!r} does not fit: {in_words(error)}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise `InputError` if it is none."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16 without its mark can be read as UTF-8
        raise InputError(f"{path} is not text in UTF-8; save it as UTF-8 in the editor")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"{override!r} is not key=value; write for instance steps=1000")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        value = text  # plain words need no quotes: output=runs/mine
    *tables, last = key.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise InputError(f"{key!r} reaches into {table!r}, which is not a table")
    values[last] = value
