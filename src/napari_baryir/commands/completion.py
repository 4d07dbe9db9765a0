"""``napari-baryir completion``: scripts that let a shell complete words with Tab."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from napari_baryir.commands.console import echo
from napari_baryir.errors import InputError

SHELLS = ("bash", "zsh", "tcsh")
"""Shells that shtab writes scripts for."""

FILES = {
    "inputs", "output", "out", "report", "model", "weights", "file", "data", "pairs", "clean",
    "noisy", "paper", "like", "recipe", "overrides",
}  # fmt: skip
"""Arguments that name files or folders."""

HELP = """\
Write a script for a shell, which then completes commands, options and files.

examples:
  napari-baryir completion bash > ~/.local/share/bash-completion/completions/napari-baryir
  napari-baryir completion zsh > ~/.zsh/completions/_napari-baryir    # a folder of $fpath

The script knows all commands, options and fixed values, and completes names of files. It starts no
Python. Write it again after an update. It needs the package shtab: pip install shtab.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the script")


def run(args: argparse.Namespace) -> int:
    """Write the script to stdout, whatever --quiet says: it is the result."""
    try:
        import shtab
    except ImportError:
        raise InputError("completion needs the package shtab: pip install shtab") from None
    parser: argparse.ArgumentParser = args.whole_parser()
    for action in _arguments(parser):
        if action.dest in FILES:
            vars(action)["complete"] = shtab.FILE  # an attribute of shtab's
    echo(shtab.complete(parser, shell=args.shell))
    return 0


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _arguments(command)
