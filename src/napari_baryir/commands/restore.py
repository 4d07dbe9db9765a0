"""``napari-baryir restore``: restore files, folders and patterns of files."""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_baryir.commands.arguments import add_computing, add_image, add_inputs
from napari_baryir.commands.console import echo, remark, run_shown
from napari_baryir.errors import DeviceError, InputError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_baryir.batch.jobs import Job
    from napari_baryir.files import ImageFile
    from napari_baryir.network import BaryIR
    from napari_baryir.restoration import Restoration

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  napari-baryir restore photo.jpg -o better.jpg
  napari-baryir restore movie.tif -o restored/ --axes TYX
  napari-baryir restore "data/**/*.tif" photos/ -o restored/ --strength 0.8

Reads and writes TIFF (OME and ImageJ too), PNG, JPEG and OME-Zarr. Shape, data type, value range,
axes and metadata stay as they are. An input is never overwritten. A result appears only when it is
complete. In a folder, what is there is done, and is skipped the next time, unless the input is
newer; --overwrite restores it again, as after a change of settings.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command to argparse."""
    parser = subparsers.add_parser(
        "restore",
        help="restore images: files, folders, patterns",
        description="Remove noise, blur, haze, rain, darkness and the like from images.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
        "--ensemble", action="store_true",
        help="average over 8 flips and rotations: slightly better, 8 times slower",
    )  # fmt: skip
    add_image(parser)
    add_computing(parser)
    parser.set_defaults(run=run)


def _strength(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


@dataclass
class _Tally:
    """What became of the files."""

    restored: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)

    def summary(self) -> str:
        parts = [f"restored {self.restored}"]
        if self.skipped:
            parts.append(f"skipped {self.skipped} that were there (--overwrite replaces them)")
        if self.failed:
            parts.append(f"failed {len(self.failed)}: {', '.join(self.failed)}")
        return "; ".join(parts)


def run(args: argparse.Namespace) -> int:
    """Restore all inputs; 1 if one of them failed."""
    from napari_baryir.batch.jobs import plan_jobs

    jobs = plan_jobs(args.inputs, args.output)
    tally, models = _Tally(), Models(args.model, args.device)
    if not args.overwrite:
        _refuse_existing(jobs, Path(args.output))
    for number, job in enumerate(jobs, start=1):
        if not args.overwrite and job.is_done():
            tally.skipped += 1
            echo(f"{job.source}: {job.target} is there")
            continue
        try:
            line = _restore(job, args, models, f"{number}/{len(jobs)} {job.source.name}")
        except (DeviceError, WeightsError, MemoryError):
            raise  # the next file would meet it too
        except Exception as error:  # one bad file must not stop the rest, whatever is wrong with it
            logger.debug("%s", job.source, exc_info=True)
            tally.failed.append(str(job.source))
            remark(failure(job, error))
        else:
            tally.restored += 1
            echo(line)
    echo(tally.summary())
    return 1 if tally.failed else 0


def _refuse_existing(jobs: Sequence[Job], output: Path) -> None:
    """A folder is filled up; a file that was named must not be kept in silence, nor replaced."""
    if [job.target for job in jobs] == [output] and output.exists():
        raise InputError(f"{output} is there already; --overwrite replaces it")


class Models:
    """The networks in use, each loaded once.

    Raises
    ------
    ModelUnavailableError, WeightsError
        At once, if there is no such model.
    """

    def __init__(self, name: str, device: str) -> None:
        from napari_baryir.weights.header import read_header
        from napari_baryir.weights.registry import find_weights

        if name != "auto":
            read_header(find_weights(name))
        self._name = name
        self._device = device
        self._loaded: dict[str, BaryIR] = {}

    def get(self, image: ImageFile, axes: str) -> tuple[str, BaryIR]:
        """The network for an image, and its name."""
        from napari_baryir.devices import choose_device
        from napari_baryir.weights.registry import choose_model, load_model

        rgb = "S" in axes and len(axes) == len(image.shape) and image.shape[axes.index("S")] >= 3
        name = choose_model(rgb) if self._name == "auto" else self._name
        if name not in self._loaded:
            self._loaded[name] = load_model(name, device=choose_device(self._device))
        return name, self._loaded[name]


def _restore(job: Job, args: argparse.Namespace, models: Models, title: str) -> str:
    """Restore one file and say so in a line."""
    from napari_baryir.files import format_name, open_output, read_image
    from napari_baryir.restoration import iter_restore

    begin = time.perf_counter()
    intensity = args.intensity or ["auto"]
    with read_image(job.source) as image:
        axes = args.axes or image.axes
        # Written back to its own format, a file keeps the axes that it came with.
        described = image if format_name(job.target) == image.format else replace(image, axes=axes)
        name, model = models.get(image, axes)
        with open_output(job.target, described) as pixels:
            steps = iter_restore(
                image.data, axes=axes, model=model, device=args.device,
                precision=args.precision, tile=args.tile, overlap=args.overlap,
                intensity=intensity[0] if len(intensity) == 1 else intensity,
                strength=args.strength, ensemble=args.ensemble, out=pixels,
            )  # fmt: skip
            done = run_shown(steps, title)
        _tell_notes(job, image, done, guessed=image.axes_guessed and args.axes is None)
    seconds = time.perf_counter() - begin
    return f"{job.source} -> {job.target}  ({axes}, {name}, {seconds:.1f} s)"


def _tell_notes(job: Job, image: ImageFile, done: Restoration, *, guessed: bool) -> None:
    notes: list[str] = list(image.notes)
    if guessed:
        notes.append(f"its axes were taken to be {image.axes}; --axes says otherwise")
    if done.non_finite:
        notes.append(f"{done.non_finite} values are not finite numbers and stay as they are")
    for note in notes:
        remark(f"{job.source}: {note}")


def failure(job: Job, error: Exception) -> str:
    """One line that names the file."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, InputError):
        text = f"{type(error).__name__}: {text}"
    return f"failed: {text}" if str(job.source) in text else f"failed: {job.source}: {text}"
