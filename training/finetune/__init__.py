"""Fine-tuning on one's own images, with the training loop's own step, losses and state."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from napari_baryir.devices import is_out_of_memory
from napari_baryir.errors import DataError, DeviceError
from napari_baryir.steps import Steps
from napari_baryir.training.calibrate import CalibrationProgress
from napari_baryir.training.checkpoint import remove_checkpoint
from napari_baryir.training.data import make_batches
from napari_baryir.training.finetune.card import choose_share, write_calibrated, write_stopped
from napari_baryir.training.finetune.material import (
    CleanImages,
    GivenImages,
    NoisyImages,
    Pairs,
    gather,
)
from napari_baryir.training.finetune.samples import complete
from napari_baryir.training.finetune.settings import FinetuneSettings
from napari_baryir.training.finetune.tuning import (
    FORGIVEN,
    Comparison,
    TuningRun,
    begin,
    check_not_start,
    output_path,
)
from napari_baryir.training.log import TrainingLog
from napari_baryir.training.loop import take_steps
from napari_baryir.training.names import YOURS
from napari_baryir.training.processes import refuse_several, training_device
from napari_baryir.training.validation import Scores, ValidationProgress
from napari_baryir.weights.files import load_weights
from napari_baryir.weights.registry import find_weights


@dataclass(frozen=True)
class FinetuneProgress:
    """Yielded while the starting model is measured, before the first step and after every one."""

    step: int
    """Steps done."""
    steps: int
    """Most steps; it may stop earlier."""
    seconds: float
    """Spent training so far."""
    terms: dict[str, float]
    """Loss terms of this step by name; empty before the first."""
    scores: Scores | None
    """Scores, if a validation came with this step; the user's images are under `YOURS`."""
    sample: Comparison | None
    """A validation image before and after, where a validation came with this step."""
    best_step: int
    """The step whose weights are kept so far; 0: the starting model is still the best."""
    before: Scores | None
    """Scores of the starting model; None while it is being measured."""
    best: Scores | None
    """Scores of the weights that are kept so far; None while `before` is None."""
    share: float | None = None
    """After the last step, where old domains lost much: the share of the way that was measured."""
    calibrating: CalibrationProgress | None = None
    """After the last step: how far the calibration of the estimates is."""
    validating: ValidationProgress | None = None
    """Before the first step: how far the measuring of the starting model is."""


@dataclass(frozen=True)
class FinetuneResult:
    """The result of a fine-tuning."""

    path: Path
    card: Path
    before: Scores
    """Scores of the starting model."""
    after: Scores
    """Scores of the weights that are kept."""
    best_step: int
    steps: int
    """Steps that were done."""
    notes: tuple[str, ...]
    """Decisions that were made for the user, one sentence each."""


def iter_finetune(
    model: str | os.PathLike[str],
    given: GivenImages,
    output: str | os.PathLike[str],
    settings: FinetuneSettings | None = None,
) -> Generator[FinetuneProgress, None, FinetuneResult]:
    """Fine-tune a model; closing the generator stops it and keeps the best so far.

    Yields a `FinetuneProgress` for every image that the starting model is measured on, once with
    its scores, after every step, for each share of the way that is tried, and while the estimates
    are calibrated. Returns weights, card and scores before and after.

    Parameters
    ----------
    model
        Name or weights file of the model to start from.
    given
        `Pairs`, `CleanImages` or `NoisyImages`. Noisy images teach by Neighbor2Neighbor;
        `napari_baryir.training.finetune.samples` says why.
    output
        A ``.safetensors`` file; or a bare name, for a file in the user's model folder, whose models
        the plugin lists. A model card of the same name goes beside it. Log and, while it is not
        done, checkpoint are in a ``.run`` folder beside it.
    settings
        None: the defaults.

    Raises
    ------
    DataError
        Before the first step, naming all that is wrong with the images; or at the end, if no step
        was better than the starting model.
    DeviceError
        If the device is not there, or memory runs out.
    InputError, WeightsError
        If the output or the model cannot be used.
    """
    refuse_several("fine-tuning")
    settings = settings or FinetuneSettings()
    path = output_path(os.fspath(output))
    device, autocast = training_device(settings)
    weights = find_weights(model)
    check_not_start(path, weights)
    start = load_weights(weights, device=device).requires_grad_(False)
    material = gather(given, start, settings)
    run = begin(settings, path, start, material, device, autocast)
    if settings.resume:
        run.resume()
    with _memory_explained(run):
        yield from _steps(run)
    return (yield from _finish(run))


@contextlib.contextmanager
def _memory_explained(run: TuningRun) -> Iterator[None]:
    """Say what to do where memory runs out."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise DeviceError(
                f"memory ran out with batch {run.sizes[0]} and patch {run.sizes[1]}; give smaller "
                "ones, or close other programs"
            ) from error
        raise


def _steps(run: TuningRun) -> Generator[FinetuneProgress, None, None]:
    """Take all steps; closed early, write the best weights."""
    run.folder.mkdir(parents=True, exist_ok=True)
    state, settings = run.state, run.settings
    log = TrainingLog(run.folder / "log.csv", state.step)
    batches = (
        complete(draw, state.model.eval(), run.start, run.device, run.autocast)
        for draw in make_batches(run.plan.dataset, state.step, settings.steps, 0)
    )
    stepping = take_steps(
        state, settings, settings.steps, batches, run.device, run.autocast, save=run.save
    )
    finished = False
    try:
        if run.before is None:
            measuring = Steps(run.measuring())
            for each in measuring:
                yield replace(_progress(run, {}), validating=each)
            yield _taken_up(run, measuring.result, {}, log)
        with contextlib.closing(stepping):
            for terms in stepping if run.unimproved < settings.patience else ():
                if state.step % settings.validate_every == 0 or state.step == settings.steps:
                    yield _taken_up(run, run.measure(), terms, log)
                    if run.unimproved >= settings.patience:
                        break
                else:
                    log.write(state.step, terms, None)
                    yield _progress(run, terms)
        finished = True
    finally:
        if not finished and run.best_step:
            write_stopped(run)


def _taken_up(
    run: TuningRun, scores: Scores, terms: dict[str, float], log: TrainingLog
) -> FinetuneProgress:
    """Keep the weights if they are the best, and write log and checkpoint."""
    run.consider(scores)
    if run.state.step:
        log.write(run.state.step, terms, scores)
    run.save()
    return _progress(run, terms, scores, run.look())


def _progress(
    run: TuningRun,
    terms: dict[str, float],
    scores: Scores | None = None,
    sample: Comparison | None = None,
) -> FinetuneProgress:
    state = run.state
    return FinetuneProgress(
        state.step, run.settings.steps, state.seconds, terms, scores, sample, run.best_step,
        run.before, run.best,
    )  # fmt: skip


def _finish(run: TuningRun) -> Generator[FinetuneProgress, None, FinetuneResult]:
    """Take less of the way where much is lost, calibrate, write; closed early, do not calibrate."""
    assert run.before is not None
    assert run.best is not None
    if not run.best_step:
        remove_checkpoint(run.folder)
        pairs = " and check that the images of each pair lie pixel on pixel"
        raise DataError(
            f"none of the {run.state.step} steps made the model better than it was (PSNR of the "
            f"validation images {run.before.restored[YOURS]:.2f} dB) without losing as much on its "
            "old domains, so that nothing was written; try more steps or mode full"
            f"{pairs if run.material.kind == 'pairs' else ''}"
        )
    calibration = Steps(write_calibrated(run))
    try:
        with _memory_explained(run), contextlib.closing(choose_share(run)) as shares:
            for share in shares:
                yield replace(_progress(run, {}), share=share)
            if run.share != 1:
                sample = run.look(run.best_model())
                yield replace(_progress(run, {}), share=run.share, sample=sample)
        for calibrating in calibration:
            yield replace(_progress(run, {}), calibrating=calibrating)
    except (GeneratorExit, KeyboardInterrupt):
        write_stopped(run)
        raise
    remove_checkpoint(run.folder)
    notes, steps = run.material.notes, run.state.step
    if run.share != 1:
        notes += (
            f"the weights go {run.share:.0%} of the way from the starting ones to the best ones; "
            f"going all of it, an old domain would have lost more than {FORGIVEN} dB",
        )
    card = calibration.result
    return FinetuneResult(run.path, card, run.before, run.best, run.best_step, steps, notes)


__all__ = [
    "YOURS",
    "CleanImages",
    "Comparison",
    "FinetuneProgress",
    "FinetuneResult",
    "FinetuneSettings",
    "NoisyImages",
    "Pairs",
    "iter_finetune",
]
