"""One fine-tuning as a generator that knows neither Qt nor napari: from a job to weights."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_baryir.errors import BaryIRError, InputError, in_words
from napari_baryir.imaging.checks import as_array
from napari_baryir.restoration.results import Progress
from napari_baryir.widgets.dock.steps import (
    Failed,
    Outcome,
    Step,
    Success,
    cores_left_for_the_window,
)

if TYPE_CHECKING:
    from napari_baryir.training.finetune import FinetuneProgress, FinetuneSettings
    from napari_baryir.training.finetune.images import UserImage
    from napari_baryir.training.finetune.material import GivenImages

Kind = Literal["pairs", "clean", "noisy"]

PAUSE_SECONDS = 0.1
"""How often a paused run looks whether it is to go on, or to stop."""


@dataclass(frozen=True, eq=False)
class LayerImage:
    """An image layer as it was when the run was asked for; its pixels are read in the run."""

    name: str
    data: Any
    """At full resolution."""
    axes: str


Images = tuple[LayerImage, ...] | Path
"""Layers, or a folder."""


@dataclass(eq=False)
class FinetuneJob:
    """The images to learn from, and the weights file to write."""

    kind: Kind
    images: Images
    """Degraded, clean or noisy ones."""
    output: Path
    """The weights file."""
    partners: Images | None = None
    """The clean images of pairs, in the order of `images`."""
    degradation: str = ""
    """``profile:name`` for clean images; without a name, all of the profile."""
    like: LayerImage | Path | None = None
    """A noisy image whose camera's noise is made on clean ones."""
    model: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `napari_baryir.training.finetune.FinetuneSettings`."""
    resume: bool = False
    """Whether to go on with the stopped run of that output, with its own settings."""
    free: threading.Event = field(default_factory=threading.Event)
    """Set while the run may compute; the window clears it to pause the run."""
    latest: FinetuneProgress | None = None
    """The last news, which the window may have missed."""
    problem: Exception | None = None
    """The error of a stopped run while it wrote its best weights."""


@dataclass(frozen=True, eq=False)
class FinetuneStep(Step):
    """One more step of training, or a pause; `progress` counts steps."""

    news: FinetuneProgress | None = None
    """None before the first."""
    paused: bool = False


@dataclass(frozen=True, eq=False)
class Trained(Success):
    """A training that gave a model."""

    path: Path
    card: Path
    best_step: int
    steps: int
    stopped: bool
    """Whether the user ended it."""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name in the list of models."""
        return self.path.stem


def finetune_steps(job: FinetuneJob) -> Generator[Step, None, Outcome]:
    """Fine-tune, yielding after every step; return errors, so that napari does not report them.

    Closing the generator keeps the best so far.
    """
    try:
        with cores_left_for_the_window():
            return (yield from _finetune(job))
    except Exception as error:
        job.problem = error  # a closed generator returns nothing
        return Failed(error)


def _finetune(job: FinetuneJob) -> Generator[Step, None, Trained]:
    done = Progress(0, int(job.settings.get("steps", 0)), 0, 1)
    steps = None
    try:
        while True:
            # Polled, since napari itself stops the worker when the window closes.
            while not job.free.wait(PAUSE_SECONDS):
                yield FinetuneStep(done, None, paused=True)
            if steps is None:
                steps = _begin(job)
            try:
                news = next(steps)
            except StopIteration as stop:
                result = stop.value
                break
            job.latest, done = news, _count(news)
            yield FinetuneStep(done, None, news)
    finally:
        if steps is not None:
            steps.close()
    return Trained(
        result.path, result.card, result.best_step, result.steps, stopped=False, notes=result.notes
    )


def _begin(job: FinetuneJob) -> Generator[FinetuneProgress, None, Any]:
    from napari_baryir.training.finetune import iter_finetune

    given = _given(job)
    model = _automatic(job) if job.model == "auto" else job.model
    return iter_finetune(model, given, job.output, _settings(job))


def _count(news: FinetuneProgress) -> Progress:
    if news.calibrating is not None:
        return Progress(news.calibrating.done, news.calibrating.total, 0, 1)
    if news.validating is not None:
        return Progress(news.validating.done, news.validating.total, 0, 1)
    return Progress(news.step, news.steps, 0, 1)


def _settings(job: FinetuneJob) -> FinetuneSettings:
    from pydantic import ValidationError

    from napari_baryir.training.finetune.settings import FinetuneSettings
    from napari_baryir.training.finetune.tuning import stopped_settings

    try:
        settings = FinetuneSettings(**job.settings)
    except ValidationError as error:
        raise InputError(in_words(error)) from None
    return stopped_settings(str(job.output), settings) if job.resume else settings


def _given(job: FinetuneJob) -> GivenImages:
    from napari_baryir.training.finetune import CleanImages, NoisyImages, Pairs

    images = job.images
    if job.kind == "pairs":
        if isinstance(images, Path) and isinstance(job.partners, Path):
            return Pairs.of_folders(images, job.partners)
        assert isinstance(images, tuple)
        assert isinstance(job.partners, tuple)
        both = zip(images, job.partners, strict=True)
        return Pairs(tuple((of_layer(first), of_layer(second)) for first, second in both))
    if job.kind == "noisy":
        if isinstance(images, Path):
            return NoisyImages.of_folder(images)
        return NoisyImages(tuple(map(of_layer, images)))
    like = None if job.like is None else as_image(job.like)
    if isinstance(images, Path):
        return CleanImages.of_folder(images, job.degradation, like)
    profile, _, name = job.degradation.partition(":")
    kind: Literal["photo", "microscopy"] = "photo" if profile == "photo" else "microscopy"
    return CleanImages(tuple(map(of_layer, images)), kind, name or None, like)


def as_image(image: LayerImage | Path) -> UserImage:
    """Return a layer, or a file, as training reads it."""
    from napari_baryir.training.finetune.images import UserImage

    return of_layer(image) if isinstance(image, LayerImage) else UserImage.of_path(image)


def of_layer(layer: LayerImage) -> UserImage:
    """Return a layer as training reads it; it is not copied, and not changed."""
    from napari_baryir.training.finetune.images import UserImage

    return UserImage(layer.name, array=as_array(layer.data), axes=layer.axes)


def _automatic(job: FinetuneJob) -> str:
    """Return the model for images of this kind."""
    from napari_baryir.weights.registry import choose_model

    if job.kind == "clean":
        return choose_model(job.degradation.startswith("photo"))
    images = job.images
    if isinstance(images, tuple):
        return choose_model("S" in images[0].axes)
    from napari_baryir.files import read_image
    from napari_baryir.training.finetune.images import list_images

    for found in list_images(images)[0][:1]:
        assert found.path is not None
        try:
            with read_image(found.path) as first:
                return choose_model("S" in first.axes)
        except (BaryIRError, OSError):  # reported with all else that is wrong
            break
    return choose_model(rgb=False)
