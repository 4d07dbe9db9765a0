"""``napari-baryir import-weights``: published checkpoints to safe weights files."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_baryir.commands.console import Voice, as_size
from napari_baryir.errors import InputError

HELP = """\
Convert a checkpoint of the published BaryIR code to a .safetensors file.

example:
  napari-baryir import-weights BaryIR.pth -o published.safetensors
  napari-baryir restore photo.jpg -o better.jpg --model published.safetensors

Nothing in FILE is executed, so it may come from anyone. A file that asks for anything but tensors
and the published network's layers is refused, and the message names what it asked for.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="checkpoint, usually .pth")
    parser.add_argument("out", nargs="?", metavar="OUT", help="the same as -o OUT")
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write, .safetensors")


def run(args: argparse.Namespace) -> int:
    """Convert and say where to."""
    from napari_baryir.weights.header import read_header
    from napari_baryir.weights.importer import import_published_weights

    if (args.out is None) == (args.output is None):
        raise InputError("say where to write, once: -o OUT.safetensors")
    path = Path(import_published_weights(args.file, args.output or args.out))
    voice = Voice(args)
    voice.line(f"{args.file} -> {path}  ({as_size(path.stat().st_size)})")
    voice.detail("header", read_header(path).model_dump())
    return 0
