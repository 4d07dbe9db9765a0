"""``napari-baryir models``: the models there are."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from napari_baryir.commands.arguments import add_speech
from napari_baryir.commands.console import Voice, as_size, as_table

if TYPE_CHECKING:
    from napari_baryir.weights.registry import ModelCard

HELP = """\
List the models that can be used; with --verbose also their model cards: what each was trained on,
how well it does, and where it fails.

examples:
  napari-baryir models
  napari-baryir models photo-compact --verbose
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; default: all")
    add_speech(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table, and the cards on request."""
    from napari_baryir.errors import ModelUnavailableError
    from napari_baryir.version import page_address
    from napari_baryir.weights.registry import (
        HOW_TO_GET,
        NOT_HERE_YET,
        PUBLISHED,
        available_models,
        no_such_model,
    )

    cards = available_models()
    unknown = sorted(set(args.names) - {card.name for card in cards})
    if unknown:
        raise ModelUnavailableError(no_such_model(unknown[0]))
    if args.names:
        cards = [card for card in cards if card.name in args.names]
    voice = Voice(args)
    voice.document([_entry(card) for card in cards])
    header = ("name", "title", "images", "licence", "size", "where")
    rows = [_row(card) for card in cards]
    missing: dict[str, str] = {}
    if not args.names:
        known = {card.name for card in cards}
        missing = {name: title for name, title in PUBLISHED.items() if name not in known}
        rows += [(name, title, "photo", "-", "-", NOT_HERE_YET) for name, title in missing.items()]
    voice.line(as_table(header, rows))
    if missing:
        voice.line(f"\nHow to get those that are {NOT_HERE_YET}: {page_address(HOW_TO_GET)}")
    for card in cards:
        if args.verbose:
            voice.line(f"\n{_text(card)}")
    return 0


def _row(card: ModelCard) -> tuple[str, ...]:
    size = as_size(card.path.stat().st_size) if card.available else "-"
    return card.name, card.title, card.image_kind, card.licence, size, _where(card)


def _entry(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name, "title": card.title, "images": card.image_kind, "licence": card.licence,
        "available": card.available, "path": str(card.path), "card": _text(card),
    }  # fmt: skip


def _where(card: ModelCard) -> str:
    from napari_baryir.weights.registry import SHIPPED_FOLDER

    if not card.available:
        return f"missing: {card.path}"
    if card.folder == SHIPPED_FOLDER:
        return "shipped with napari-baryir"
    return str(card.path)


def _text(card: ModelCard) -> str:
    path = card.card_path
    return (
        f"# {card.name}\n\n{card.summary}"
        if path is None
        else path.read_text("utf-8", errors="replace").strip()
    )
