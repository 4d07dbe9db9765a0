"""``napari-baryir train``: train a network by a recipe."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_baryir.commands.console import StepsShown, Voice
from napari_baryir.steps import Steps

if TYPE_CHECKING:
    from napari_baryir.training.validation import Scores

HELP = """\
Train a network by a recipe. The final weights are the one *.safetensors in the output folder;
losses and validation scores are in its log.csv.

examples:
  napari-baryir train smoke output=runs/smoke
  napari-baryir train photo-compact data.train=photos/train data.validation=photos/val steps=2000

  torchrun --nproc-per-node 4 -m napari_baryir train paper_5d_ours data.train=data/Train \\
      'data.batch={noise=4, rain=4, haze=4, blur=4, "low light"=4}'

Keys are those of the recipe: output, steps, seed, device, checkpoint_every, resume (true or false),
data.train, optimizer.rate and so on. A run that was interrupted goes on where it was.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="a TOML file, or the name of a recipe that ships")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values to change")


def run(args: argparse.Namespace) -> int:
    """Train, with a progress bar or lines of losses, and validation PSNR."""
    from napari_baryir.training.loop import train
    from napari_baryir.training.processes import launched
    from napari_baryir.training.recipe import load_recipe

    recipe = load_recipe(args.recipe, args.overrides)
    args.quiet |= launched().number > 0  # of several processes, one speaks
    voice = Voice(args)
    voice.detail("recipe", recipe.model_dump())
    training = Steps(train(recipe))
    with StepsShown(silent=voice.quiet) as shown:
        for progress in training:
            shown.show("step", progress.step, recipe.steps, progress.terms)
            if progress.scores is not None:
                voice.note(f"step {progress.step}: {_as_text(progress.scores)}")
    voice.line(f"weights: {training.result}")
    return 0


def _as_text(scores: Scores) -> str:
    table = "  ".join(
        f"{domain} {value:.2f} ({value - scores.untouched[domain]:+.2f})"
        for domain, value in scores.restored.items()
    )
    return (
        f"PSNR {table}; right domain {scores.accuracy:.0%}, residual {scores.residual_length:.3f}"
    )
