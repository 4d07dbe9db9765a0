"""``napari-baryir finetune``: teach a model one's own images."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_baryir.commands.arguments import add_device
from napari_baryir.commands.console import StepsShown, Voice
from napari_baryir.errors import InputError, in_words
from napari_baryir.steps import Steps

if TYPE_CHECKING:
    from napari_baryir.training.finetune import FinetuneProgress, FinetuneSettings
    from napari_baryir.training.finetune.material import GivenImages
    from napari_baryir.training.validation import Scores

HELP = """\
Fine-tune a model on pairs, on clean images that are degraded here, or on noisy images alone. It
says before the first step what is wrong with the images.

examples:
  napari-baryir finetune --model microscopy-compact --pairs low/ high/ -o worms
  napari-baryir finetune --model microscopy-compact --pairs data/ \\
      --pattern '*_low.tif' '*_high.tif' --domain 'low light' -o worms.safetensors
  napari-baryir finetune --model microscopy-compact --clean sharp/ \\
      --degradation microscopy:noise --like noisy.tif -o worms
  napari-baryir finetune --model microscopy-compact --noisy movie/ -o worms

TIFF, PNG, JPEG and OME-Zarr; stacks are cut into planes. Some files are kept for validation and
never trained on. Ctrl-C keeps the best so far, and --resume goes on. With a bare name for -o the
weights go into the plugin's model folder and appear in its list of models. Noisy images must be as
the camera took them: without clean ones the network learns from the noise of neighbouring pixels
(Neighbor2Neighbor), which has to be independent.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="name or weights file to start from")
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument(
        "--pairs", nargs="+", metavar="FOLDER",
        help="two folders, DEGRADED CLEAN, with equal names; or one, with --pattern",
    )  # fmt: skip
    images.add_argument("--clean", metavar="FOLDER", help="clean images; with --degradation")
    images.add_argument("--noisy", metavar="FOLDER", help="noisy images, no clean ones needed")
    parser.add_argument(
        "--pattern", nargs=2, metavar=("DEGRADED", "CLEAN"),
        help="with one folder of --pairs: names with one * each, '*_low.tif' '*_high.tif'",
    )  # fmt: skip
    parser.add_argument(
        "--degradation", metavar="PROFILE[:NAME]",
        help="with --clean: photo or microscopy, and which of its degradations; default: all",
    )  # fmt: skip
    parser.add_argument(
        "--like", metavar="NOISY_IMAGE", help="with --clean: measure gain and offset on this image"
    )
    parser.add_argument("-o", "--output", required=True, help="file.safetensors, or a bare name")
    parser.add_argument("--domain", help="name of the degradation; a new name is a new domain")
    parser.add_argument(
        "--mode", choices=("frozen-encoder", "lora", "full"), default="frozen-encoder",
        help="what learns: all but the encoder (default), low-rank updates, or everything",
    )  # fmt: skip
    for name, what in (
        ("steps", "most steps; default 1500"),
        ("batch", "samples per step; default: what fits into memory"),
        ("patch", "side of the patches in pixels; default: what fits into memory"),
        ("rank", "of --mode lora; default 8"),
        ("seed", "of everything random; default 0"),
        ("validate-every", "steps; default 100"),
    ):
        parser.add_argument(f"--{name}", type=int, help=what)
    parser.add_argument("--rate", type=float, help="highest learning rate; default: by mode")
    parser.add_argument(
        "--brightness", choices=("auto", "match", "keep"),
        help="of grey pairs: match the clean image's range to the degraded one's; default: auto, "
        "where they differ by more than a factor of two",
    )  # fmt: skip
    parser.add_argument("--no-turn", action="store_true", help="do not turn the patches of pairs")
    parser.add_argument(
        "--calibration-scenes", type=int, help="for the estimates; default 960, 0: none"
    )
    add_device(parser)
    parser.add_argument("--resume", action="store_true", help="go on with the stopped run")


def run(args: argparse.Namespace) -> int:
    """Fine-tune, with a progress bar or lines, and say what was gained and lost."""
    from napari_baryir.training.finetune import iter_finetune
    from napari_baryir.weights.cache import model_folder

    settings, voice = _settings(args), Voice(args)
    voice.detail("settings", settings.model_dump())
    steps = Steps(iter_finetune(args.model, _given(args), args.output, settings))
    with StepsShown(silent=voice.quiet) as shown:
        for progress in steps:
            _show(progress, shown, voice)
    result = steps.result
    for note in result.notes:
        voice.note(f"note: {note}")
    voice.line(f"before: {_as_text(result.before)}")
    voice.line(f"kept, step {result.best_step}: {_as_text(result.after)}")
    voice.line(f"weights: {result.path}\nmodel card: {result.card}")
    if result.path.parent != model_folder():
        voice.line(f"to have it in the plugin's list of models, copy it to {model_folder()}")
    return 0


def _settings(args: argparse.Namespace) -> FinetuneSettings:
    from pydantic import ValidationError

    from napari_baryir.training.finetune.settings import FinetuneSettings

    names = (
        "mode", "domain", "steps", "seed", "device", "batch", "patch", "rank", "rate",
        "brightness", "validate_every", "calibration_scenes",
    )  # fmt: skip
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    try:
        return FinetuneSettings(**given, resume=args.resume, turn=not args.no_turn)
    except ValidationError as error:
        raise InputError(in_words(error)) from None


def _given(args: argparse.Namespace) -> GivenImages:
    from napari_baryir.training.finetune import CleanImages, NoisyImages, Pairs
    from napari_baryir.training.finetune.images import UserImage

    if args.pattern and (not args.pairs or len(args.pairs) != 1):
        raise InputError("--pattern is for --pairs with one folder")
    if (args.degradation or args.like) and not args.clean:
        raise InputError("--degradation and --like are for --clean")
    if args.noisy:
        return NoisyImages.of_folder(args.noisy)
    if args.clean:
        if not args.degradation:
            raise InputError("--clean needs --degradation, for example microscopy:noise")
        like = None if args.like is None else UserImage.of_path(args.like)
        return CleanImages.of_folder(args.clean, args.degradation, like)
    if args.pattern:
        return Pairs.of_pattern(args.pairs[0], *args.pattern)
    if len(args.pairs) != 2:
        raise InputError("--pairs needs two folders, DEGRADED CLEAN, or one and --pattern")
    return Pairs.of_folders(*args.pairs)


def _show(progress: FinetuneProgress, shown: StepsShown, voice: Voice) -> None:
    calibrating = progress.calibrating
    if calibrating is not None:
        shown.show("calibrating the estimates", calibrating.done, calibrating.total)
        return
    if progress.validating is not None:
        measured = progress.validating
        shown.show("measuring the starting model, image", measured.done, measured.total)
        return
    if progress.share is not None:
        voice.note(
            f"old domains lost much: tried weights {progress.share:.0%} of the way from the "
            "starting model"
        )
        return
    shown.show("step", progress.step, progress.steps, progress.terms)
    if progress.scores is not None:
        scores = _as_text(progress.scores)
        if not progress.step:
            voice.note(f"starting model: {scores}")
            return
        best = f"step {progress.best_step}" if progress.best_step else "the starting model"
        voice.note(f"step {progress.step}: {scores}, best so far: {best}")


def _as_text(scores: Scores) -> str:
    each = "  ".join(f"{name} {value:.2f}" for name, value in scores.restored.items())
    return f"PSNR {each} dB"
