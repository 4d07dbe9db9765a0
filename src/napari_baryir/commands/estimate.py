"""``napari-baryir estimate``: what is wrong with images, how much, and where."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from functools import partial
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from napari_baryir.commands.arguments import (
    add_computing,
    add_image,
    add_inputs,
    add_speech,
    computing_of,
)
from napari_baryir.commands.console import Voice, failure, follow
from napari_baryir.errors import InputError
from napari_baryir.files.formats import FORMATS, format_name

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_baryir.batch.jobs import Job
    from napari_baryir.batch.models import Models
    from napari_baryir.commands.estimate_files import TableEntry
    from napari_baryir.degradation import DegradationEstimate
    from napari_baryir.files import ImageFile
    from napari_baryir.restoration import Progress

TABLES = (".csv", ".json")
"""Suffixes of a table of its own."""

MAPS = ("-degradation.png", ".tif", ".ome.zarr")
"""Ends of the names of figures and maps."""

HELP = """\
Estimate which degradations images have, how strong they are, and where.

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    add_speech(parser)


def run(args: argparse.Namespace) -> int:
    """Estimate all inputs; 1 if one of them failed."""
    from napari_baryir.batch.jobs import plan_jobs
    from napari_baryir.batch.models import Models
    from napari_baryir.batch.run import run_batch
    from napari_baryir.commands.estimate_files import as_json

    voice, out = Voice(args), Path(args.output)
    tables = _tables(out, args)
    to_table = tables == [out]
    found = plan_jobs(args.inputs, args.output, apart=not to_table, to_folder=True)
    jobs = found.jobs
    if not to_table and not args.overwrite:
        _check_none_there(jobs)
    for note in found.notes:
        voice.note(note)
    work = partial(_estimate, args=args, models=Models(args.model, args.device), maps=not to_table)
    entries: list[TableEntry] = []
    failed: list[dict[str, str]] = []
    try:
        for news in follow(run_batch(jobs, work, again=True), jobs, voice):
            job = jobs[news.row]
            if news.error is not None:
                failed.append({"file": str(job.path), "error": failure(job, news.error)})
            elif news.result is not None:
                entries.append(news.result[0])
                for note in news.result[1]:
                    voice.note(f"{job.path}: {note}")
                voice.line(_line(news.result[0]))
                voice.detail(str(job.path), news.result[0].record)
    finally:  # whatever stops the rest, what is done is kept
        voice.document([*as_json(entries), *failed])
        if entries:
            if not to_table and not (args.no_figures and args.maps == "none"):
                voice.line(f"maps and figures: {out / '*-degradation.*'}")
            _write_tables(tables, entries, voice)
    if failed:
        voice.line(f"failed {len(failed)}: {', '.join(each['file'] for each in failed)}")
    return int(bool(failed))


def _tables(out: Path, args: argparse.Namespace) -> list[Path]:
    """Return the tables to write: the output itself, or those of a folder."""
    name = format_name(out)
    folder = out.is_dir() or args.output.endswith(("/", os.sep))
    if name is not None and (FORMATS[name].is_folder or not folder):
        raise InputError(f"-o {out} is named as an image; give a folder, or a .csv or .json file")
    to_table = out.suffix.lower() in TABLES and not folder
    if out.suffix and not to_table and not folder:
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
    """Return what the names of an image's files begin with; its suffix keeps them apart."""
    from napari_baryir.batch.jobs import cut_name

    name = job.name.replace(".", "-").replace("/", "-")
    return job.target.parent / cut_name(name, "-shapley-barycenter.ome.zarr")


def _write_tables(tables: Sequence[Path], entries: Sequence[TableEntry], voice: Voice) -> None:
    from napari_baryir.commands.estimate_files import write_csv, write_json

    for table in tables:
        (write_csv if table.suffix.lower() == ".csv" else write_json)(table, entries)
        voice.line(f"table ({table.suffix[1:].upper()}): {table}")


def _estimate(
    job: Job, args: argparse.Namespace, models: Models, maps: bool
) -> Generator[Progress, None, tuple[TableEntry, tuple[str, ...]]]:
    """Estimate one file, and write its maps and figure if asked; return its entry and its notes.

    Only what the table says outlives the file: maps of many images would fill the memory.
    """
    from napari_baryir.batch.run import notes_of
    from napari_baryir.commands.estimate_files import TableEntry
    from napari_baryir.degradation import iter_estimate
    from napari_baryir.files import read_image

    with read_image(job.path) as image:
        axes = args.axes or image.axes
        _, model = models.get(image, axes)
        estimate = yield from iter_estimate(
            image.data, axes=axes, model=model, contributions=args.contributions, at_once=True,
            **computing_of(args),
        )  # fmt: skip
        if maps:
            _write_maps(job, args, image, estimate)
    return TableEntry.of(str(job.path), estimate), notes_of(image, args.axes)


def _write_maps(
    job: Job, args: argparse.Namespace, image: ImageFile, estimate: DegradationEstimate
) -> None:
    """Write the maps, the contributions and the figure of one image."""
    from napari_baryir.commands.estimate_files import write_contributions, write_maps

    stem = _stem(job)
    if args.maps != "none":
        suffix = "tif" if args.maps == "tiff" else "ome.zarr"
        write_maps(stem.with_name(f"{stem.name}-degradation.{suffix}"), estimate, image)
        write_contributions(stem, suffix, estimate, image)
    if not args.no_figures:
        from napari_baryir.commands.estimate_figure import write_figure
        from napari_baryir.imaging.axes import PlaneLayout

        plane = PlaneLayout.of(image.data, args.axes or image.axes).read(image.data, 0)
        path = stem.with_name(f"{stem.name}-degradation.png")
        write_figure(path, estimate, plane, job.name)


def _line(entry: TableEntry) -> str:
    """Return a line for the terminal: the mean over the planes, and how many there are."""
    count = len(entry.planes)
    sums: Counter[str] = Counter()
    for plane in entry.planes:
        sums.update(plane["shares"])
    severity = sum(plane["severity"] for plane in entry.planes) / count
    means = [(name, total / count) for name, total in sums.most_common()]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in means if share >= 0.05)
    planes = "" if count == 1 else f" (mean of {count} planes)"
    return f"{entry.file}: {shares}; severity {severity:.2f}{planes}"
