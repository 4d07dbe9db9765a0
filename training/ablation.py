"""Train variants of a recipe on the same budget and seeds; measure seen and unseen degradations.

``python -m napari_baryir.training.ablation FILE [key=value ...]``. Every run that is finished is
kept; one that was stopped goes on from its checkpoint.
"""

from __future__ import annotations

import csv
import json
import logging
import re
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt, ValidationError

from napari_baryir.atomic import written_aside
from napari_baryir.domains import CLEAN
from napari_baryir.errors import BaryIRError, DataError, InputError, in_words
from napari_baryir.network.config import Frozen
from napari_baryir.steps import Steps
from napari_baryir.training import loop
from napari_baryir.training.checkpoint import changed_keys, identity
from napari_baryir.training.evaluate import INPUT, iter_evaluate
from napari_baryir.training.evaluate.cases import Case, list_synthetic
from napari_baryir.training.evaluate.report import markdown_table, to_csv
from napari_baryir.training.evaluate.unseen import list_unseen
from napari_baryir.training.processes import refuse_several
from napari_baryir.training.recipe import Recipe, load_recipe, read_toml
from napari_baryir.training.state import end_of
from napari_baryir.weights.registry import load_model

logger = logging.getLogger(__name__)

SCORES = "scores.csv"
"""In a run's folder once it is finished."""
IDENTITY_FILE = "identity.json"
"""Beside `SCORES`: the record of the settings that were trained and measured."""
TABLE = "table.md"
"""In the ablation's folder."""

Means = Mapping[str, Mapping[str, Sequence[float]]]
"""Method to domain to mean PSNR, one for each seed that is done."""


class Ablation(Frozen):
    """The settings of an ablation: variants, data, number of seeds."""

    recipe: str
    """A recipe that ships, or a TOML file."""
    output: str
    """Folder for all runs and the table."""
    clean: str
    """Folder of clean photographs that no run trains on, to be degraded and measured."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    """Seeds of the runs; every variant is trained with each."""
    images: PositiveInt = 24
    """Clean photographs that are measured, spread evenly over the folder."""
    overrides: tuple[str, ...] = ()
    """Changes to the recipe, the same for all variants."""
    unseen: tuple[str, ...]
    """Names in `UNSEEN` that the recipe does not train on."""
    mixtures: tuple[str, ...] = ()
    """Names in `MIXTURES`."""
    variants: dict[str, tuple[str, ...]]
    """Name to changes of the recipe."""

    def recipe_of(self, variant: str, seed: int) -> Recipe:
        """Make the recipe of one run."""
        slug = re.sub(r"[^a-z0-9]+", "-", variant.lower()).strip("-")
        own = (f"name={slug}", f"seed={seed}", f"output={Path(self.output) / f'{slug}-{seed}'}")
        return load_recipe(self.recipe, [*self.overrides, *self.variants[variant], *own])

    def runs(self) -> Iterator[tuple[str, int, Recipe]]:
        """Yield variant, seed and recipe of every run, seed by seed."""
        for seed in self.seeds:
            for variant in self.variants:
                yield variant, seed, self.recipe_of(variant, seed)

    def identity_of(self, recipe: Recipe) -> dict[str, Any]:
        """List what scores of a run depend on, as plain JSON; of paths, the last two parts."""
        trained = identity(recipe)
        for folder in ("train", "validation"):
            trained["data"][folder] = end_of(trained["data"][folder])
        own = self.model_dump(mode="json", include={"images", "unseen", "mixtures"})
        init = None if recipe.init is None else end_of(recipe.init)
        return {**trained, **own, "init": init, "clean": end_of(self.clean)}


@dataclass(frozen=True)
class AblationProgress:
    """Yielded after every training step and every measured image."""

    variant: str
    seed: int
    done: int
    """Steps, or scores."""
    doing: str
    """"training" or "measuring"."""


def load_ablation(path: Path, overrides: Iterable[str] = ()) -> Ablation:
    """Read an ablation from a TOML file, and check every recipe that it makes.

    Of the `overrides`, ``key=value``, clean, output and images are the ablation's own; everything
    else changes the recipe of every run. Raises `InputError` if something does not fit.
    """
    if not path.is_file():
        raise InputError(f"there is no {path}; give a file such as training/ablation.toml")
    values = read_toml(path)
    for override in overrides:
        key, _, value = override.partition("=")
        if key in ("clean", "output", "images"):
            values[key] = value
        else:
            values["overrides"] = [*values.get("overrides", []), override]
    try:
        ablation = Ablation.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path} does not fit: {in_words(error)}") from None
    folders = {ablation.recipe_of(variant, 0).output for variant in ablation.variants}
    if len(folders) < len(ablation.variants):
        raise InputError(f"{path}: names of variants must differ in more than signs and case")
    return ablation


def run_ablation(ablation: Ablation) -> Generator[AblationProgress, None, Path]:
    """Train and measure whatever is not done yet, seed by seed; returns the table's path.

    Raises `DataError` if images are missing, or a finished run was made with other settings, and
    `InputError` if several processes were started.
    """
    refuse_several("an ablation")
    _check_finished(ablation)
    for variant, seed, recipe in ablation.runs():
        if not (Path(recipe.output) / SCORES).is_file():
            yield from _run(ablation, recipe, variant, seed)
        with written_aside(Path(ablation.output) / TABLE) as aside:
            table = to_table(collect(ablation), ablation.unseen, ablation.mixtures)
            aside.write_text(table, encoding="utf-8")
    return Path(ablation.output) / TABLE


def _run(
    ablation: Ablation, recipe: Recipe, variant: str, seed: int
) -> Generator[AblationProgress, None, None]:
    cases = _cases(ablation, recipe)  # before hours of training: images may be missing
    training = Steps(loop.train(recipe))
    for step in training:
        yield AblationProgress(variant, seed, step.step, "training")
    measuring = Steps(
        iter_evaluate(
            cases,
            load_model(training.result),
            model_name=variant,
            restore_options={"device": recipe.device, "precision": recipe.precision},
        )
    )
    for count, _ in enumerate(measuring, 1):
        yield AblationProgress(variant, seed, count, "measuring")
    # First, since the scores are what says that a run is finished.
    with written_aside(Path(recipe.output) / IDENTITY_FILE) as aside:
        aside.write_text(json.dumps(ablation.identity_of(recipe), indent=1), encoding="utf-8")
    with written_aside(Path(recipe.output) / SCORES) as aside:
        aside.write_text(to_csv(measuring.result), encoding="utf-8", newline="")


def _cases(ablation: Ablation, recipe: Recipe) -> list[Case]:
    domains = [name for name in recipe.data.batch if name != CLEAN]
    folders = [Path(ablation.clean)]
    seen = list_synthetic(folders, domains=domains, limit=ablation.images)
    others = [*ablation.unseen, *ablation.mixtures]
    if not others:  # which would be all of them
        return list(seen)
    return [*seen, *list_unseen(folders, domains=others, limit=ablation.images)]


def _check_finished(ablation: Ablation) -> None:
    """Refuse runs that are finished, but not as the ablation says now."""
    for _, _, recipe in ablation.runs():
        folder = Path(recipe.output)
        if not (folder / SCORES).is_file():
            continue
        path = folder / IDENTITY_FILE
        old = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        changed = changed_keys(old, ablation.identity_of(recipe))
        if changed:
            raise DataError(
                f"the finished run in {folder} was made with other values of "
                f"{', '.join(changed)}; restore them, or move that folder away, or choose "
                "another output"
            )


def collect(ablation: Ablation) -> dict[str, dict[str, list[float]]]:
    """Collect mean PSNR by method and domain, a value for each seed that all variants finished.

    Means over different seeds would not compare the variants alone.
    """
    means: dict[str, dict[str, list[float]]] = {}
    for seed in ablation.seeds:
        paths = [Path(ablation.recipe_of(v, seed).output) / SCORES for v in ablation.variants]
        if not all(path.is_file() for path in paths):
            continue
        for path in paths:
            scores: dict[tuple[str, str], list[float]] = {}
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    scores.setdefault((row["method"], row["domain"]), []).append(float(row["psnr"]))
            for (method, domain), values in scores.items():
                means.setdefault(method, {}).setdefault(domain, []).append(float(np.mean(values)))
    return means


def to_table(means: Means, unseen: Sequence[str], mixtures: Sequence[str] = ()) -> str:
    """Write PSNR from `collect` as Markdown, by domain and on average over each group of domains.

    `unseen` are the domains that were not trained on, `mixtures` those that are two at once. Each
    method has the mean and standard deviation over the seeds (of a sample, ``n - 1``).
    """
    methods = [INPUT, *(method for method in means if method != INPUT)]
    domains = list(means.get(INPUT, {}))
    seen = [domain for domain in domains if domain not in (*unseen, *mixtures)]
    groups = {
        "seen": seen,
        "unseen": [domain for domain in domains if domain in unseen],
        "mixtures": [domain for domain in domains if domain in mixtures],
    }
    named = [
        (f"**mean of {title}**" if row is group else row[0], row)
        for title, group in groups.items()
        for row in (*([domain] for domain in group), *([group] if group else []))
    ]
    rows = [[name, *(_cell(means[m], row, m == INPUT) for m in methods)] for name, row in named]
    seeds = max((len(values) for m in methods[1:] for values in means[m].values()), default=0)
    lines = markdown_table(["PSNR (dB)", *methods], rows)
    return "\n".join([*lines, "", f"Seeds that all have finished: {seeds}"]) + "\n"


def _cell(rows: Mapping[str, Sequence[float]], domains: Sequence[str], is_input: bool) -> str:
    """Average over the domains for each seed; give mean and spread over the seeds."""
    if any(domain not in rows for domain in domains):
        return ""
    each = np.mean([rows[domain] for domain in domains], axis=0)  # (seeds,)
    if is_input or len(each) < 2:
        return f"{np.mean(each):.2f}"
    return f"{np.mean(each):.2f} ± {np.std(each, ddof=1):.2f}"


def main(arguments: Sequence[str]) -> int:
    """Run an ablation from the command line: the TOML file, and ``key=value``."""
    if not arguments:
        sys.stderr.write("usage: python -m napari_baryir.training.ablation FILE [key=value ...]\n")
        return 2
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        running = Steps(run_ablation(load_ablation(Path(arguments[0]), arguments[1:])))
        before = ""
        for progress in running:
            now = f"{progress.variant}, seed {progress.seed}: {progress.doing}"
            if now != before:
                logger.info(now)
                before = now
    except BaryIRError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"table: {running.result}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
