"""``napari-baryir benchmark``: how fast models are here."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from napari_baryir.commands.arguments import add_device, add_speech
from napari_baryir.commands.console import StepsShown, Voice, as_size, as_table
from napari_baryir.errors import InputError, ModelUnavailableError

if TYPE_CHECKING:
    from napari_baryir.restoration.speed import Speed

LEAST_SIDE = 64

HELP = """\
Measure the speed and the peak memory of models in each precision that a device has, and say which
settings are best.

examples:
  napari-baryir benchmark
  napari-baryir benchmark photo-compact --device cuda --size 2048

Each row is measured in a process of its own, on a picture that is made for it. The memory is that
of the whole process, PyTorch included; on CUDA, that of the GPU. "as float32" is how well the
answer agrees with that in float32, as PSNR; 50 dB and more cannot be seen.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all that are here")
    add_device(parser)
    parser.add_argument(
        "--size", type=int, default=512, metavar="PIXELS", help="side of the picture; default: 512"
    )
    parser.add_argument(
        "--runs", type=int, default=3, help="the fastest of so many counts; default: 3"
    )
    add_speech(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and say what is best."""
    from napari_baryir.restoration.speed import best, iter_speeds
    from napari_baryir.weights.registry import available_models, find_card

    if args.size < LEAST_SIDE or args.runs < 1:
        raise InputError(f"--size must be at least {LEAST_SIDE} pixels, and --runs at least 1")
    names = args.models or [card.name for card in available_models() if card.available]
    if not names:
        raise ModelUnavailableError("there is no model to measure; name a weights file")
    models = [(name, find_card(name).image_kind != "microscopy") for name in names]
    voice = Voice(args)
    speeds: list[Speed] = []
    with StepsShown(silent=voice.quiet, passing=True) as shown:
        shown.show("measurement", 0, 0)
        for speed in iter_speeds(models, args.device, args.size, args.runs):
            speeds.append(speed)
            shown.show("measurement", len(speeds), 0)
    choices = [best([each for each in speeds if each.model == name]) for name in names]
    voice.document([asdict(each) | {"best": each in choices} for each in speeds])
    header = ("model", "device", "precision", "megapixels/s", "peak memory", "as float32")
    voice.line(as_table(header, [_row(each) for each in speeds]))
    for choice in choices:
        settings = f"--device {choice.device} --precision {choice.precision}"
        chosen = ", which auto chooses" if choice.auto else ""
        voice.line(f"best for {choice.model}: {settings}{chosen}")
    return 0


def _row(speed: Speed) -> tuple[str, ...]:
    agreement = "same" if speed.agreement is None else f"{speed.agreement:.1f} dB"
    return (
        speed.model, speed.device, speed.precision + " (auto)" * speed.auto,
        f"{speed.megapixels_per_second:.2f}", as_size(speed.peak_memory), agreement,
    )  # fmt: skip
