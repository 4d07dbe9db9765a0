"""The result of a fine-tuning: a weights file, calibrated where that can be, and its model card.

The weights go as far from the starting ones to the fine-tuned ones as what is learnt is worth what
is lost: on the straight line between them the new skill comes before the old ones go (WiSE-FT:
Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import torch

from napari_baryir.atomic import written_aside
from napari_baryir.domains import CLEAN
from napari_baryir.network import BaryIR
from napari_baryir.training.calibrate import KEPT_APART, CalibrationProgress, calibrate
from napari_baryir.training.data.images import listed
from napari_baryir.training.degradations import DEGRADATIONS
from napari_baryir.training.evaluate.report import markdown_table
from napari_baryir.training.finetune.tuning import FORGIVEN, LEAST_GAIN, TuningRun, forgotten, merit
from napari_baryir.training.names import YOURS
from napari_baryir.version import __version__
from napari_baryir.weights.files import save_weights

SHARES = (0.8, 0.6, 0.45, 0.3)
"""Shares of the way, tried where all of it forgets too much. With slanted stripes for
microscopy-compact, six tenths had three quarters of the gain and a fifth of the loss."""
PRICE = 5.0
"""dB that the user's images must gain for each dB that old domains lose beyond what is forgiven: a
gain of 4 dB does not pay for 1 dB, one of 13 dB pays for 2."""


def choose_share(run: TuningRun) -> Generator[float, None, None]:
    """Set `share` and `best` of a run to the share that is worth most, and its scores.

    The run is over, with a best step. Where it forgets little enough, nothing is tried. Yields each
    share once it is measured; closed early, it sets the best so far.
    """
    assert run.before is not None
    assert run.best is not None
    if not forgotten(run.best, run.before):
        return
    share = run.share
    try:
        for tried in SHARES:
            run.share = tried
            scores = run.measure(run.best_model())
            gain = scores.restored[YOURS] - run.before.restored[YOURS]
            better = merit(scores, run.before, PRICE) > merit(run.best, run.before, PRICE)
            if better and gain > LEAST_GAIN:
                share, run.best = tried, scores
            yield tried
    finally:
        run.share = share


def write_stopped(run: TuningRun) -> None:
    """Write the best weights of a run that the user stopped; uncalibrated, since the user waits."""
    _write(run, run.best_model(), stopped=True, calibrated="")


def write_calibrated(run: TuningRun) -> Generator[CalibrationProgress, None, Path]:
    """Calibrate the estimates of the best weights, and write them; returns the card beside them.

    The run is over, with a best step. Yields after every picture that the estimates are calibrated
    on; closed early, it writes nothing.
    """
    model = run.best_model()
    calibrated = yield from _calibrated_for(model, run)
    return _write(run, model, stopped=False, calibrated=calibrated)


def _write(run: TuningRun, model: BaryIR, *, stopped: bool, calibrated: str) -> Path:
    origin = run.start.provenance
    parent = str(origin.get("name", run.start.weights_hash))
    titles = ", ".join(run.material.targets)
    model.provenance = {
        "name": run.path.stem,
        "title": f"{run.path.stem} (fine-tuned)",
        "summary": f"{parent}, fine-tuned on {run.material.kind}: {titles}.",
        "image_kind": run.material.profile,
        "finetuned_from": parent,
        "finetuned_from_sha256": run.start.weights_hash,
        "settings": run.settings.identity(),
        "steps": run.best_step,
        "share": run.share,
        "training_seconds": round(run.state.seconds),
        "napari_baryir": __version__,
        "torch": torch.__version__,
        "licence": str(origin.get("licence", "unknown")),
    }
    save_weights(model, run.path, dtype=torch.float16)
    card = run.path.with_suffix(".md")
    with written_aside(card) as aside:
        aside.write_text(_card(run, parent, stopped=stopped, calibrated=calibrated), "utf-8")
    return card


def _calibrated_for(model: BaryIR, run: TuningRun) -> Generator[CalibrationProgress, None, str]:
    """Calibrate the estimates on the user's clean training images.

    Returns what it was calibrated for; nothing where it could not be: without clean images, or with
    too few of them. A domain that the profile cannot make is not among it.
    """
    scenes, profile = run.settings.calibration_scenes, run.material.profile
    images = [plane for planes in run.material.train.clean for plane in planes]
    known = tuple(d for d in model.domains if d in DEGRADATIONS[profile] or d == CLEAN)
    if len(images) < 2 * KEPT_APART or scenes < 2 * KEPT_APART * (len(known) + 1) or not known:
        return ""
    domains, prototypes = model.domains, model.prototypes
    model.domains = known
    clean = run.material.train.clean
    yield from calibrate(model, clean, profile, scenes=scenes, seed=run.settings.seed)
    calibrated = model.calibration["domains"]
    # Calibration puts the prototypes of what it can make anew; the others stay as training left it.
    if prototypes is not None and model.prototypes is not None:
        for row, name in enumerate(model.domains):
            if name in domains:
                prototypes[domains.index(name)] = model.prototypes[row]
    model.domains, model.prototypes = domains, prototypes
    return ", ".join(calibrated)


def _card(run: TuningRun, parent: str, *, stopped: bool, calibrated: str) -> str:
    material, settings = run.material, run.settings
    lines = [
        f"# {run.path.stem}",
        "",
        f"{parent}, fine-tuned on {material.kind}; what it learnt is called "
        f"{', '.join(material.targets)}.",
        "",
        "| | |",
        "| --- | --- |",
        f"| started from | {parent}, SHA-256 {run.start.weights_hash} |",
        f"| learnt from | {_listed(material.train.names)} |",
        f"| validated on | {_listed(material.validation.names)} (never trained on) |",
        f"| mode | {settings.mode}, batch {run.sizes[0]}, patch {run.sizes[1]}, "
        f"seed {settings.seed} |",
        f"| training | {run.state.step} steps{' until it was stopped' if stopped else ''}, "
        f"the best after {run.best_step}; {run.state.seconds / 60:.1f} minutes on "
        f"{run.device.type} |",
        f"| domains | {', '.join(material.domains)} |",
        f"| estimates | {'calibrated for ' + calibrated if calibrated else 'not calibrated'} |",
        f"| licence | as the starting model's: {run.start.provenance.get('licence', 'unknown')}; "
        "your images may add to it |",
        "",
        "## Measured",
        "",
        *_table(run),
        "",
        "Mean PSNR in dB on the validation images. They also chose the step that was kept, so that "
        "new images may do a little worse.",
    ]
    if run.material.kind == "noisy images":
        lines.append(
            "There are no clean images of yours: the PSNR is against noisy neighbours that the "
            "network did not see, whose noise keeps it low. What was forgotten is measured on the "
            "starting model's restored images instead of clean ones."
        )
    if run.share != 1:
        lines.append(
            f"These weights go {run.share:.0%} of the way from the starting ones to those of the "
            f"best step; going all of it, an old domain would have lost more than {FORGIVEN} dB."
        )
    if run.plan.unrehearsed:
        lines.append(
            f"Not rehearsed, and maybe forgotten: {', '.join(run.plan.unrehearsed)} "
            "(nothing here can make it)."
        )
    lines += [f"Note: {note}." for note in material.notes]
    return "\n".join(lines) + "\n"


def _table(run: TuningRun) -> list[str]:
    assert run.before is not None
    assert run.best is not None
    each = (run.before.untouched, run.before.restored, run.best.restored)
    rows = [
        [name, str(len(pairs)), *(f"{scores[name]:.2f}" for scores in each)]
        for name, pairs in run.plan.pairs.items()
    ]
    return markdown_table(["domain", "images", "input", "before", "after"], rows)


def _listed(names: list[str]) -> str:
    return listed([name.replace("|", "/") for name in names], 8)
