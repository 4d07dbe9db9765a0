"""``napari-baryir import-weights``: published checkpoints to safe weights files."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_baryir.commands.console import Voice, as_size
from napari_baryir.errors import InputError

EXAMPLES = """\
example:
  napari-baryir import-weights BaryIR.pth -o published.safetensors
  napari-baryir restore photo.jpg -o better.jpg --model published.safetensors

Nothing in FILE is executed, so it may come from anyone. A file that asks for anything but tensors
and the published network's layers is refused, and the message names what it asked for.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command to argparse."""
    parser = subparsers.add_parser(
        "import-weights",
        help="convert a published checkpoint (.pth) to a safe weights file",
        description="Convert a checkpoint of the published BaryIR code to a .safetensors file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="checkpoint, usually .pth")
    parser.add_argument("out", nargs="?", metavar="OUT", help="the same as -o OUT")
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write, .safetensors")
    parser.set_defaults(run=run)


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
