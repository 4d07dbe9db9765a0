"""Evaluations as files that people and spreadsheets read."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, fields
from pathlib import Path

from napari_baryir.errors import InputError
from napari_baryir.training.evaluate import Evaluation, ImageScore

SUFFIXES = (".csv", ".md")
"""What a report can be written as."""

DIGITS = {"psnr": 4, "ssim": 6, "level": 4, "sigma": 5, "seconds": 3}
"""Decimals of a CSV file's columns."""


def check_report_path(path: Path) -> None:
    """Refuse a report's name before hours of work are spent on it.

    Raises
    ------
    InputError
        If the suffix is neither .csv nor .md, or the folder is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"a report is .csv (every image) or .md (a table of means), not {path.name!r}"
        )
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for the report; make it first")


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write every score as CSV, or the means as a Markdown table; the suffix decides."""
    check_report_path(path)
    to_text = to_csv if path.suffix.lower() == ".csv" else to_markdown
    path.write_text(to_text(evaluation), encoding="utf-8", newline="")


def to_csv(evaluation: Evaluation) -> str:
    """One line per image and method, with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(ImageScore)])
    writer.writeheader()
    for score in evaluation.scores:
        row = {name: "" if value is None else value for name, value in asdict(score).items()}
        for name, digits in DIGITS.items():
            if row[name] != "":
                row[name] = f"{row[name]:.{digits}f}"
        writer.writerow(row)
    return text.getvalue()


def to_markdown(evaluation: Evaluation) -> str:
    """One row per domain, one column per method: mean PSNR in dB / mean SSIM."""
    methods = evaluation.methods
    lines = [
        f"| domain | images | {' | '.join(methods)} |",
        f"| --- | --- |{' --- |' * len(methods)}",
    ]
    for domain in evaluation.domains:
        cells = [_cell(evaluation.mean(domain, method)) for method in methods]
        lines.append(f"| {domain} | {evaluation.count(domain)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(mean: tuple[float, float] | None) -> str:
    return "" if mean is None else f"{mean[0]:.2f} / {mean[1]:.4f}"
