"""What a training says: how far it is, what it has gained, what came of it."""

from __future__ import annotations

from napari_baryir.widgets.dock.status import StatusPanel, duration
from napari_baryir.widgets.finetune.history import YOURS, History
from napari_baryir.widgets.finetune.job import Trained
from napari_baryir.widgets.finetune.session import FinetuneSession

NOTICED = 0.05
"""dB; what is lost below this is not worth a sentence."""


def follow_training(status: StatusPanel, session: FinetuneSession) -> None:
    """Show how far the training is."""
    status.say(progress_text(session))
    run = session.run
    if run is None:
        return
    step = run.latest
    # Without a number of steps, the bar says that something is going on.
    status.bar.setRange(0, 0 if step is None else step.progress.total)
    status.bar.setValue(0 if step is None else step.progress.done)
    status.bar.setVisible(run.state != "waiting")


def progress_text(session: FinetuneSession) -> str:
    """How far a training is, in a sentence."""
    run, history = session.run, session.history
    if run is None:
        return ""
    if run.state == "waiting":
        ahead = session.queue.ahead_of(run)
        return f"Waiting for {ahead} other training{'s' * (ahead != 1)}."
    if run.state == "cancelling":
        return (
            "Stopping after the step in work, and keeping the best so far."
            if history.best_step
            else "Stopping after the step in work."
        )
    if session.paused:
        return "Paused while another run has the computer."
    if run.latest is None:
        return "Loading the model and reading the images…"
    if session.calibrating:
        progress = run.latest.progress
        return f"Calibrating the degradation map: {progress.done} of {progress.total} pictures."
    if history.validating is not None:
        measured = history.validating
        return f"Measuring the starting model: {measured.done} of {measured.total} images."
    if history.share is not None:
        return "Old degradations lost much: looking how far the weights should go."
    told = f"Step {history.step} of at most {history.steps}"
    left = history.seconds_left
    return f"{told}, {duration(left)} left or less." if left else f"{told}."


def gain_text(history: History, *, over: bool = False) -> str:
    """What the best weights so far, or those that were kept, are worth, in a sentence or two."""
    if not history.before:
        return ""
    if not history.best_step:
        return _nothing_better(history)
    which = "Kept" if over else "Best so far"
    told = (
        f"{which}: step {history.best_step}, {history.best[YOURS]:.2f} dB on your validation "
        f"images, {history.gain:+.2f} dB over the starting model."
    )
    lost = history.most_lost(history.best)
    if lost is None:
        return told
    name, decibels = lost
    if decibels < NOTICED:
        told += " Nothing that it knew is lost."
    else:
        told += f" Of what it knew, {name} lost most: {decibels:.2f} dB."
    if history.latest.get(YOURS, 0.0) > history.best[YOURS]:
        told += " The last validation scored higher, but lost too much elsewhere."
    return told


def _nothing_better(history: History) -> str:
    before = history.before[YOURS]
    gain = history.latest.get(YOURS, before) - before
    lost = history.most_lost(history.latest)
    if gain > 0 and lost is not None and lost[1] > NOTICED:
        return (
            f"Your validation images gain {gain:.2f} dB, but of what the model knew, {lost[0]} "
            f"loses {lost[1]:.2f} dB: not kept yet."
        )
    return (
        f"Nothing better than the starting model yet ({before:.2f} dB on your validation images)."
    )


def result_text(trained: Trained, history: History) -> str:
    """What came of a training that gave a model."""
    gained = f"{history.gain:+.2f} dB on your validation images"
    if trained.stopped:
        return (
            f"Stopped at step {trained.steps}. “{trained.name}” is the best so far, step "
            f"{trained.best_step}: {gained}. Resume goes on; another name trains anew."
        )
    notes = "".join(f" Note: {note}." for note in trained.notes)
    took = f" in {duration(history.seconds)}" if history.seconds >= 1 else ""
    return (
        f"Trained “{trained.name}”{took}, {trained.steps} steps; step {trained.best_step} is kept: "
        f"{gained}.{notes}"
    )
