"""The command line: it reads the words and runs the command."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Protocol

from napari_baryir import __version__
from napari_baryir.errors import BaryIRError, InputError

COMMANDS: dict[str, tuple[str, str]] = {
    "restore": ("restore", "restore images: files, folders, patterns"),
    "estimate": ("estimate", "estimate what is wrong with images, how much, and where"),
    "models": ("models", "list the models"),
    "info": ("info", "show versions, devices and models, for a report of a problem"),
    "demo": ("demo", "restore bundled samples and measure how well that works"),
    "evaluate": ("evaluate", "measure PSNR and SSIM of a model on your own images"),
    "train": ("train", "train a model"),
    "finetune": ("finetune", "teach a model your own images"),
    "calibrate": ("calibrate", "calibrate a model's degradation estimates"),
    "import-weights": (
        "import_weights", "convert a published checkpoint (.pth) to a safe weights file",
    ),
}  # fmt: skip
"""Command to its module in `napari_baryir.commands`, and what it does. A module has
``add_parser(subparsers)`` and ``run(args) -> int`` and is imported when its command is used."""

EXAMPLES = """\
example:
  napari-baryir restore photo.jpg -o better.jpg

`napari-baryir help COMMAND` explains each command, with examples.
"""

FAILED, STOPPED, UNHEARD = 2, 130, 141
"""Exit codes: an error that the message explains; Ctrl-C, and a pipe whose reader has gone (as
`head` goes when it has its lines), as shells have them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv
        Arguments without the program's name; None: those of the process.

    Returns
    -------
    Exit code: 0 done, 1 done in part, 2 an error, 130 Ctrl-C, 141 a pipe without a reader.
    """
    _prepare_streams()
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return UNHEARD
    except OSError as error:  # of the flush: a full disk
        _discard_output()
        _complain(f"error: standard output: {error}")
        return FAILED


def _complain(text: str) -> None:
    """Write a line to stderr, if that can be written to."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"napari-baryir: {text}\n")


def _prepare_streams() -> None:
    """Make both streams take all that is written to them.

    Python has none where the starting program closed them. Names of files may have letters that a
    terminal's encoding lacks.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Discard what the interpreter still writes when it ends; it would complain again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _run(argv: Sequence[str] | None) -> int:
    words, verbose, debug = _common_options(list(sys.argv[1:] if argv is None else argv))
    _log(verbose=verbose, debug=debug)
    try:
        if words[:1] == ["help"]:
            words = [*words[1:2], "--help"]
        parser, name = _parser(words)
        args = parser.parse_args(words)
        args.verbose, args.debug = verbose, debug
        if "-" in (getattr(args, "output", ""), getattr(args, "report", "")):
            raise InputError("-: results do not go to the standard output; name a file or folder")
        if name is None:
            parser.print_help()
            return 0
        code: int = _module(name).run(args)
        return code
    except BrokenPipeError:
        raise
    except (BaryIRError, OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        text = str(error) or type(error).__name__
        _complain(f"error: {text}")
        return FAILED
    except KeyboardInterrupt:
        _complain("stopped")
        return STOPPED


def _common_options(words: list[str]) -> tuple[list[str], bool, bool]:
    """Take --verbose and --debug out, wherever they stand before a ``--``."""
    end = words.index("--") if "--" in words else len(words)
    ours, rest = words[:end], words[end:]
    kept = [word for word in ours if word not in ("-v", "--verbose", "--debug")]
    debug = "--debug" in ours
    return kept + rest, debug or "-v" in ours or "--verbose" in ours, debug


def _parser(words: Sequence[str]) -> tuple[argparse.ArgumentParser, str | None]:
    """Return the parser, with the details of only that command that is used, and the command."""
    parser = argparse.ArgumentParser(
        prog="napari-baryir",
        description="Restore images that are noisy, blurred, hazy, rained on or too dark.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"napari-baryir {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more; any command")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    subparsers = parser.add_subparsers(metavar="COMMAND")
    name = words[0] if words and words[0] in COMMANDS else None
    for command, (_, summary) in COMMANDS.items():
        if command == name:
            _module(command).add_parser(subparsers)
        else:
            subparsers.add_parser(command, help=summary)
    if name is None and words and not words[0].startswith("-"):
        close = difflib.get_close_matches(words[0], COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(COMMANDS)}"
        parser.error(f"there is no command {words[0]}; {hint}")
    return parser, name


class _Command(Protocol):
    """A module of `napari_baryir.commands`."""

    def add_parser(self, subparsers: Any) -> None:
        """Describe the command to argparse."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the command, and return the exit code."""


def _module(command: str) -> _Command:
    module: Any = importlib.import_module(f"napari_baryir.commands.{COMMANDS[command][0]}")
    command_module: _Command = module
    return command_module


def _log(*, verbose: bool, debug: bool) -> None:
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("napari_baryir").setLevel(level)
    # It reports every oddity of a file as an error; what matters comes as ours.
    logging.getLogger("tifffile").setLevel(logging.DEBUG if debug else logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(main())
