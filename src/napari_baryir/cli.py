"""The command line: it reads the words and runs the command."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import platform
import sys
import time
import traceback
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any

from napari_baryir import __version__
from napari_baryir.errors import BaryIRError, InputError, did_you_mean

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
    "completion": ("completion", "write a script that lets a shell complete words with Tab"),
    "export": ("export", "write a model for other programs: ONNX, BioImage Model Zoo"),
    "benchmark": ("benchmark", "measure how fast models are here, in each precision"),
}  # fmt: skip
"""Command to its module in `napari_baryir.commands`, and what it does. A module has ``HELP``, whose
first paragraph stands before the arguments and the rest behind them, ``add_arguments(parser)`` and
``run(args) -> int``. It is imported when its command is used."""

EXAMPLES = """\
example:
  napari-baryir restore photo.jpg -o better.jpg

`napari-baryir help COMMAND` explains each command, with examples.
"""

COMMON = {
    ("-q", "--quiet"): "say nothing but errors",
    ("-v", "--verbose"): "say more",
    ("--debug",): "show where an error comes from",
}
"""Options that every command has, and what they do."""

OUTPUTS = ("output", "out", "report")
"""Arguments that name what a command writes."""

FAILED, STOPPED, UNHEARD = 2, 130, 141
"""Exit codes: an error that the message explains; Ctrl-C, and a pipe whose reader has gone (as
`head` goes when it has its lines), as shells have them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, whose words are `argv`, or those of the process; return the exit code.

    0 done, 1 some or all images failed, 2 an error, 130 Ctrl-C, 141 a pipe without a reader.
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
    """Write a line to stderr."""
    sys.stderr.write(f"napari-baryir: {text}\n")


class _Forgiving:
    """A stream that loses what it cannot write, as on a full disk: remarks must not stop work."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


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
    if not isinstance(sys.stderr, _Forgiving):
        sys.stderr = _Forgiving(sys.stderr)


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
    words, common = _common_options(list(sys.argv[1:] if argv is None else argv))
    start = time.monotonic()
    try:
        if words[:1] == ["help"]:
            words = [*words[1:2], "--help"]
        args, name = _parse(words)
        for option, given in common.items():
            setattr(args, option, given or getattr(args, option, False))
        args.verbose |= args.debug
        _log(args)
        _refuse_standard_output(args)
        if name is None:
            _parsers().print_help()
            return 0
        args.whole_parser = partial(_parsers, *COMMANDS)
        code: int = _module(name).run(args)
        if args.verbose and not args.quiet:
            seconds = time.monotonic() - start
            python = f"Python {platform.python_version()}"
            _complain(f"{name} took {seconds:.1f} s, with version {__version__} on {python}")
        return code
    except BrokenPipeError:
        raise
    except (BaryIRError, OSError, MemoryError) as error:
        if common["debug"]:
            traceback.print_exc()
        text = str(error) or type(error).__name__
        _complain(f"error: {text}")
        return FAILED
    except KeyboardInterrupt:
        _complain("stopped")
        return STOPPED


def _common_options(words: list[str]) -> tuple[list[str], dict[str, bool]]:
    """Take the options that all commands have out, wherever they stand before a ``--``."""
    end = words.index("--") if "--" in words else len(words)
    names = {word: each[-1][2:] for each in COMMON for word in each}
    given = {names[word] for word in words[:end] if word in names}
    kept = [word for word in words[:end] if word not in names]
    return kept + words[end:], {name: name in given for name in names.values()}


def _refuse_standard_output(args: argparse.Namespace) -> None:
    """Raise `InputError` if a command is to write to ``-``."""
    for option in OUTPUTS:
        given = getattr(args, option, None)
        if "-" in [str(each) for each in (given if isinstance(given, list) else [given])]:
            raise InputError("-: results do not go to the standard output; name a file or folder")


def _parse(words: Sequence[str]) -> tuple[argparse.Namespace, str | None]:
    """Return the arguments, and the command; answer a wrong word with the nearest that is known."""
    name = words[0] if words and words[0] in COMMANDS else None
    parser = _parsers(*filter(None, [name]))
    if name is None and words and not words[0].startswith("-"):
        hint = did_you_mean(words[0], COMMANDS) or f"there are {', '.join(COMMANDS)}"
        parser.error(f"there is no command {words[0]}; {hint}")
    args, unknown = parser.parse_known_args(words)
    if unknown:
        used = args.parser if name else parser
        options = [word for word in used._option_string_actions if word.startswith("--")]
        hint = did_you_mean(unknown[0].partition("=")[0], options)
        used.error("; ".join(filter(None, [f"unknown: {' '.join(unknown)}", hint])))
    return args, name


def _parsers(*detailed: str) -> argparse.ArgumentParser:
    """Return the parser of all commands, with the details of some."""
    parser = argparse.ArgumentParser(
        prog="napari-baryir",
        description="Restore images that are noisy, blurred, hazy, rained on or too dark.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"napari-baryir {__version__}")
    _add_common(parser.add_argument_group("options of every command"))
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for command, (_, summary) in COMMANDS.items():
        used = subparsers.add_parser(
            command, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if command in detailed:
            module = _module(command)
            used.description, _, used.epilog = module.HELP.partition("\n\n")
            module.add_arguments(used)
            used.set_defaults(parser=used)
            _add_common(used.add_argument_group("options of every command"))
    return parser


def _add_common(group: argparse._ArgumentGroup) -> None:
    """Add what `_common_options` takes out, so that help shows it."""
    for words, text in COMMON.items():
        group.add_argument(*words, action="store_true", default=argparse.SUPPRESS, help=text)


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"napari_baryir.commands.{COMMANDS[command][0]}")


def _log(args: argparse.Namespace) -> None:
    usual = logging.ERROR if args.quiet else logging.INFO if args.verbose else logging.WARNING
    level = logging.DEBUG if args.debug else usual
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("napari_baryir").setLevel(level)
    # It reports every oddity of a file as an error; what matters comes as ours.
    logging.getLogger("tifffile").setLevel(logging.DEBUG if args.debug else logging.CRITICAL)
    # On a slow computer it warns that it builds its cache of fonts, once, which nobody can act on.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
