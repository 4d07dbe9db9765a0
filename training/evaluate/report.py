"""Write evaluations as files that people and spreadsheets read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from napari_baryir.errors import InputError
from napari_baryir.training.evaluate import Evaluation, ImageScore
from napari_baryir.training.paper.published_scores import PAPER_SCORES, TEST_SETS

SUFFIXES = (".csv", ".md")
"""Suffixes of the files that a report can be written to."""

DIGITS = {"psnr": 4, "ssim": 6, "level": 4, "sigma": 5, "seconds": 3, "lpips": 5}
"""Decimals of a CSV file's columns."""


def check_report_path(path: Path) -> None:
    """Refuse a report's name before hours of work are spent on it.

    Raises `InputError` if the suffix is neither .csv nor .md, or the folder is missing.
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
    """Write one line per image and method, with a header."""
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
    """Write a row per domain, a column per method: mean PSNR in dB / mean SSIM (/ mean LPIPS).

    Where the paper's test sets were measured, a table of published scores follows.
    """
    methods = evaluation.methods
    rows = [
        [domain, str(evaluation.count(domain)), *(_cell(evaluation, domain, m) for m in methods)]
        for domain in evaluation.domains
    ]
    lpips = any(score.lpips is not None for score in evaluation.scores)
    scores = "PSNR in dB / SSIM" + (" / LPIPS" if lpips else "")
    said = f"{scores}, means over the images; a report that ends in .csv has every image."
    lines = [*markdown_table(["domain", "images", *methods], rows), "", said]
    return "\n".join(lines + _published_lines(evaluation)) + "\n"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write the lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _published_lines(evaluation: Evaluation) -> list[str]:
    """List the published scores on the measured test sets, marked as published."""
    measured = [domain for domain in evaluation.domains if domain in TEST_SETS]
    complete = [name for name in measured if evaluation.count(name) == TEST_SETS[name]]
    lines = [
        f"{name}: {evaluation.count(name)} of {TEST_SETS[name]} images were measured, so the "
        "published scores do not stand beside them."
        for name in measured
        if name not in complete
    ]
    if complete:
        shown = {m: row for m, row in PAPER_SCORES.items() if any(n in row for n in complete)}
        rows = [[name, *(_published(row.get(name)) for row in shown.values())] for name in complete]
        lines += [
            "Published, not measured here (Tang et al., TPAMI 2026, Tables 1 and 2; the authors' "
            "own crops and SSIM):",
            "",
            *markdown_table(["test set", *shown], rows),
        ]
    return ["", *lines] if lines else []


def _published(scores: tuple[float, float] | None) -> str:
    return "" if scores is None else f"{scores[0]:.2f} / {scores[1]:.3f}"


def _cell(evaluation: Evaluation, domain: str, method: str) -> str:
    mean, lpips = evaluation.mean(domain, method), evaluation.mean_lpips(domain, method)
    if mean is None:
        return ""
    return f"{mean[0]:.2f} / {mean[1]:.4f}" + ("" if lpips is None else f" / {lpips:.4f}")
