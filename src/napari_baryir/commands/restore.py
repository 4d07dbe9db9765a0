"""``napari-baryir restore``: restore files, folders and patterns of files."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_baryir.commands.arguments import (
    add_computing,
    add_image,
    add_inputs,
    add_speech,
    computing_of,
)
from napari_baryir.commands.console import Voice, failure, follow, remark
from napari_baryir.commands.report import (
    FAILED,
    RESTORED,
    SKIPPED,
    Report,
    restore_and_estimate,
)
from napari_baryir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_baryir.batch.jobs import Job
    from napari_baryir.batch.run import News
    from napari_baryir.commands.report import Reported

HELP = """\
Remove noise, blur, haze, rain, darkness and the like from images.

examples:
  napari-baryir restore photo.jpg -o better.jpg
  napari-baryir restore movie.tif -o restored/ --axes TYX
  napari-baryir restore photo.jpg -o less-noise.jpg --remove noise=0.5
  napari-baryir restore "data/**/*.tif" photos/ -o restored/ --strength 0.8

Reads and writes TIFF (OME and ImageJ too), PNG, JPEG, WebP, AVIF, BMP and OME-Zarr, and with
napari-baryir[formats] HEIC; it reads CZI, ND2 and LIF. Each image of such a file becomes an
OME-TIFF; cells.lif/2 names the second one only. Shape, data type, value range,
axes and metadata stay as they are. An input is never overwritten. A result appears only when it is
complete. In a folder, what is there is done, and is skipped the next time, unless the input has
changed since; --overwrite restores it again, as after a change of settings. Files of other kinds
and results of earlier runs are left out, which is said.

An image that hardly changed is called "practically unchanged": by less than half a percent of the
value range (root mean square), which is a PSNR to the input above 46 dB. --json and the report have
the figure of every image as "change".

For --report and --sidecar the model also estimates what is wrong with each image and with its
result, as `napari-baryir estimate` does, if it is calibrated. This takes about as long again.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT",
        help="a file for one input, else a folder, which is made if it is not there",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.add_argument(
        "--strength", type=_strength, default=1.0, metavar="0..1",
        help="1: restored (default); 0: unchanged; between: a blend of both",
    )  # fmt: skip
    parser.add_argument(
        "--remove", type=_remove, default="auto", metavar="NAMES",
        help="only these degradations, such as noise,haze; noise=0.5 removes half of the noise; "
        "default: auto, whatever is there",
    )  # fmt: skip
    parser.add_argument(
        "--ensemble", action="store_true",
        help="average over 8 flips and rotations: slightly better, 8 times slower",
    )  # fmt: skip
    parser.add_argument(
        "--report", metavar="FILE.json",
        help="write how each image was restored: settings, model and its hash, notes, errors, and "
        "what was wrong before and after",
    )  # fmt: skip
    parser.add_argument(
        "--sidecar", action="store_true",
        help="write the same beside each result, as RESULT.json",
    )  # fmt: skip
    add_image(parser)
    add_computing(parser)
    add_speech(parser)


def _strength(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _remove(text: str) -> str | list[str] | dict[str, float]:
    """Return "auto", the names of degradations, or their names and amounts."""
    if text == "auto":
        return text
    amounts: dict[str, float] = {}
    for part in text.split(","):
        name, equals, amount = (each.strip() for each in part.partition("="))
        if not name or name in amounts:
            raise argparse.ArgumentTypeError(
                f"{text!r} does not name each degradation once, such as noise,haze or noise=0.5"
            )
        amounts[name] = _strength(amount) if equals else 1.0
    return amounts if "=" in text else list(amounts)


def run(args: argparse.Namespace) -> int:
    """Restore all inputs; 1 if one of them failed."""
    from napari_baryir.batch.jobs import plan_jobs
    from napari_baryir.batch.models import Models
    from napari_baryir.batch.run import run_batch

    voice, found = Voice(args), plan_jobs(args.inputs, args.output)
    jobs = found.jobs
    report = Report(args.report, jobs, sidecar=args.sidecar)
    models = Models(args.model, args.device)
    _check_removable(args.remove, args.model)
    if not args.overwrite:
        _refuse_existing(jobs, Path(args.output))
    for note in found.notes:
        voice.note(note)
    work = partial(
        restore_and_estimate, estimating=report.wanted, models=models, axes=args.axes,
        strength=args.strength, remove=args.remove, ensemble=args.ensemble, **computing_of(args),
    )  # fmt: skip
    batch = run_batch(jobs, work, again=args.overwrite)
    entries: list[dict[str, Any]] = []
    try:
        for news in follow(batch, jobs, voice):
            entries.append(_entry(jobs[news.row], news))
            report.note(entries[-1])
            _say(entries[-1], news, voice)
    finally:  # whatever stops the rest, what is done is reported
        voice.document(entries)
        report.write()
    voice.line(_summary(entries))
    return int(any(entry["state"] == FAILED for entry in entries))


def _check_removable(remove: str | Iterable[str], model: str) -> None:
    """Refuse degradations that no model in question knows, before torch is imported."""
    if isinstance(remove, str):
        return
    from napari_baryir.weights.registry import REGISTRY, removable_by, require_removable

    names = REGISTRY if model == "auto" else [model]
    known = list(dict.fromkeys(each for name in names for each in removable_by(name)))
    if known:
        require_removable(remove, known, model)


def _refuse_existing(jobs: Sequence[Job], output: Path) -> None:
    """Refuse to keep or to replace a file that was named; a folder is filled up."""
    if [job.target for job in jobs] == [output] and output.exists():
        raise InputError(f"{output} is there already; --overwrite replaces it")


def _entry(job: Job, news: News[Reported]) -> dict[str, Any]:
    """Return what the report says of one image, as plain JSON values."""
    entry: dict[str, Any] = {"file": str(job.path), "result": str(job.target)}
    if news.error is not None:
        return {**entry, "state": FAILED, "error": failure(job, news.error)}
    if news.result is None:
        return {**entry, "state": SKIPPED}
    done, estimate = news.result
    record = done.restoration.record
    return {**entry, "state": RESTORED, "notes": list(done.notes), **record, "estimate": estimate}


def _say(entry: Mapping[str, Any], news: News[Reported], voice: Voice) -> None:
    if entry["state"] == SKIPPED:
        voice.line(f"{entry['file']}: {entry['result']} is there")
    if news.result is None:
        return
    if entry["state"] == FAILED:
        remark(f"failed: {entry['file']}: {entry['error']}")
    file, _ = news.result
    for note in file.notes:
        voice.note(f"{entry['file']}: {note}")
    done = file.restoration
    how = f"{done.axes}, {done.model}, {done.seconds:.1f} s"
    if done.practically_unchanged:
        how += "; practically unchanged"
    voice.line(f"{entry['file']} -> {entry['result']}  ({how})")
    voice.detail(entry["file"], done.settings)


def _summary(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return in a line what became of all images."""
    files: dict[str, list[str]] = {RESTORED: [], SKIPPED: [], FAILED: []}
    for entry in entries:
        files[entry["state"]].append(entry["file"])
    parts = [f"restored {len(files[RESTORED])}"]
    if files[SKIPPED]:
        parts.append(f"skipped {len(files[SKIPPED])} that were there (--overwrite replaces them)")
    if files[FAILED]:
        parts.append(f"failed {len(files[FAILED])}: {', '.join(files[FAILED])}")
    return "; ".join(parts)
