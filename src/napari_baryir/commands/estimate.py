"""``napari-baryir estimate``: what is wrong with images, how much, and where."""

from __future__ import annotations

import argparse
import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from napari_baryir.commands.arguments import add_computing, add_image, add_inputs
from napari_baryir.commands.console import echo, remark, run_shown
from napari_baryir.commands.restore import Models, failure
from napari_baryir.errors import DeviceError, InputError, WeightsError
from napari_baryir.files.formats import format_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_baryir.batch.jobs import Job
    from napari_baryir.commands.estimate_files import TableEntry
    from napari_baryir.files import ImageFile

logger = logging.getLogger(__name__)

TABLES = (".csv", ".json")
"""Suffixes of a table of its own."""

MAPS = ("-degradation.png", ".tif", ".ome.zarr")
"""How the names of figures and maps end."""

EXAMPLES = """\
examples:
  napari-baryir estimate photo.jpg -o estimate/
  napari-baryir estimate "data/**/*.tif" -o table.csv
  napari-baryir estimate movie.tif -o estimate/ --axes TYX --maps ome-zarr --contributions

OUT is a table (CSV or JSON; one row per plane: mean severity, share of each domain), or a folder.
A folder gets estimates.csv and estimates.json, and for every image its maps, with the severity and
the probability of each domain as channels on a grid of 8 pixels, and a figure of its first plane.
--contributions also writes what the barycenter and the residual embedding contribute to the
restored image. Severity s stands for an expected error of s / (1 - s) / 10 of the value range.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command to argparse."""
    parser = subparsers.add_parser(
        "estimate",
        help="estimate what is wrong with images, how much, and where",
        description="Estimate which degradations images have, how strong they are, and where.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_inputs(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT",
        help="a table that ends in .csv or .json, or a folder, which is made if it is not there",
    )  # fmt: skip
    parser.add_argument(
        "--overwrite", action="store_true", help="replace tables, maps and figures that are there"
    )
    parser.add_argument(
        "--maps", choices=("tiff", "ome-zarr", "none"), default="tiff",
        help="how the maps are written to a folder; default: tiff",
    )  # fmt: skip
    parser.add_argument("--no-figures", action="store_true", help="write no figures to a folder")
    parser.add_argument(
        "--contributions", action="store_true",
        help="also decode, and write what the embeddings contribute; about three times as slow",
    )  # fmt: skip
    add_image(parser)
    add_computing(parser)
    parser.set_defaults(run=run)


@dataclass
class _Done:
    """What was estimated, for the table."""

    entries: list[TableEntry] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def run(args: argparse.Namespace) -> int:
    """Estimate all inputs; 1 if one of them failed."""
    from napari_baryir.batch.jobs import plan_jobs

    out = Path(args.output)
    tables = _tables(out, args)
    to_table = tables == [out]
    # As if it were a folder, so that no input seems to be overwritten.
    jobs = plan_jobs(args.inputs, f"{out}/", apart=not to_table)
    if not to_table and not args.overwrite:
        _check_none_there(jobs)
    done = _Done()
    try:
        _estimate_all(jobs, args, done, to_table)
    finally:  # whatever stops the rest, what is done is kept
        if done.entries:
            if not to_table and not (args.no_figures and args.maps == "none"):
                echo(f"maps and figures: {out / '*-degradation.*'}")
            _write_tables(tables, done)
    if done.failed:
        echo(f"failed {len(done.failed)}: {', '.join(done.failed)}")
    return 1 if done.failed else 0


def _tables(out: Path, args: argparse.Namespace) -> list[Path]:
    """The tables to write: the output itself, or those of a folder."""
    folder = out.is_dir() or args.output.endswith(("/", os.sep))
    to_table = out.suffix.lower() in TABLES and not folder
    if not to_table and not folder:
        if format_name(out) is not None:
            raise InputError(
                f"-o {out} is named as an image; give a folder, or a .csv or .json file"
            )
        if out.suffix:
            raise InputError(
                f"-o {out}: tables end in .csv or .json; to name a folder like this, end it with /"
            )
    if to_table and args.contributions:
        raise InputError(f"-o {out} holds a table only; give a folder for contributions")
    tables = [out] if to_table else [out / f"estimates{suffix}" for suffix in TABLES]
    there = [str(table) for table in tables if table.exists()]
    if there and not args.overwrite:
        raise InputError(
            f"{' and '.join(there)} would be replaced; give another place with -o, or --overwrite"
        )
    return tables


def _check_none_there(jobs: Sequence[Job]) -> None:
    """Refuse to replace maps and figures of an earlier run."""
    there = [
        str(found)
        for job in jobs
        for found in sorted(_stem(job).parent.glob(f"{escape(_stem(job).name)}-*"))
        if found.name.endswith(tuple(MAPS))
    ]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise InputError(
            f"{there[0]}{more} would be replaced; give another place with -o, or --overwrite"
        )


def _stem(job: Job) -> Path:
    """What the files of an image begin with; its suffix stays, lest two of one name meet."""
    return job.target.parent / job.source.name.replace(".", "-")


def _estimate_all(
    jobs: Sequence[Job], args: argparse.Namespace, done: _Done, to_table: bool
) -> None:
    """Estimate one file after another, and note in `done` what came of it."""
    models = Models(args.model, args.device)
    for number, job in enumerate(jobs, start=1):
        folder = None if to_table else job.target.parent
        try:
            entry = _estimate(job, args, models, f"{number}/{len(jobs)} {job.source.name}", folder)
        except (DeviceError, WeightsError, MemoryError):
            raise  # the next file would meet it too
        except Exception as error:  # one bad file must not stop the rest, whatever is wrong with it
            logger.debug("%s", job.source, exc_info=True)
            done.failed.append(str(job.source))
            remark(failure(job, error))
        else:
            done.entries.append(entry)
            echo(_line(entry))


def _write_tables(tables: Sequence[Path], done: _Done) -> None:
    from napari_baryir.commands.estimate_files import write_csv, write_json

    for table in tables:
        (write_csv if table.suffix.lower() == ".csv" else write_json)(table, done.entries)
        echo(f"table: {table}")


def _estimate(
    job: Job, args: argparse.Namespace, models: Models, title: str, folder: Path | None
) -> TableEntry:
    """Estimate one file, and write its maps and figure where there is a folder for them.

    Only what the table says outlives the file: maps of many images would fill the memory.
    """
    import numpy as np

    from napari_baryir.commands.estimate_figure import write_figure
    from napari_baryir.commands.estimate_files import TableEntry, write_contributions, write_maps
    from napari_baryir.degradation import iter_estimate
    from napari_baryir.files import read_image

    with read_image(job.source) as image:
        axes = args.axes or image.axes
        _, model = models.get(image, axes)
        chosen = args.intensity or ["auto"]
        steps = iter_estimate(
            image.data, axes=axes, model=model, device=args.device, precision=args.precision,
            tile=args.tile, overlap=args.overlap,
            intensity=chosen[0] if len(chosen) == 1 else chosen,
            contributions=args.contributions, at_once=True,
        )  # fmt: skip
        estimate = run_shown(steps, title)
        _tell_notes(job.source, image, guessed=image.axes_guessed and args.axes is None)
        entry = TableEntry.of(str(job.source), estimate)
        if folder is None:
            return entry
        stem = _stem(job)
        folder.mkdir(parents=True, exist_ok=True)
        if args.maps != "none":
            suffix = "tif" if args.maps == "tiff" else "ome.zarr"
            write_maps(stem.with_name(f"{stem.name}-degradation.{suffix}"), estimate, image)
            write_contributions(stem, suffix, estimate, image)
        if not args.no_figures:
            from napari_baryir.imaging.axes import PlaneLayout

            plane = PlaneLayout.of(image.data, axes).read(image.data, 0)
            write_figure(
                stem.with_name(f"{stem.name}-degradation.png"),
                estimate,
                np.asarray(plane),
                job.source.name,
            )
    return entry


def _tell_notes(source: Path, image: ImageFile, *, guessed: bool) -> None:
    if guessed:
        remark(f"{source}: its axes were taken to be {image.axes}; --axes says otherwise")
    for note in image.notes:
        remark(f"{source}: {note}")


def _line(entry: TableEntry) -> str:
    """One line for the terminal: the mean over the planes, and how many there are."""
    count = len(entry.planes)
    sums: Counter[str] = Counter()
    for _, summary, _ in entry.planes:
        sums.update(summary)
    severity = sum(each for _, _, each in entry.planes) / count
    means = [(name, total / count) for name, total in sums.most_common()]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in means if share >= 0.05)
    planes = "" if count == 1 else f" (mean of {count} planes)"
    return f"{entry.file}: {shares}; severity {severity:.2f}{planes}"
