"""List the models that have a name: a table to read, and the user's own files beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_baryir.domains import CLEAN
from napari_baryir.errors import (
    BaryIRError,
    InputError,
    ModelUnavailableError,
    WeightsError,
    did_you_mean,
)
from napari_baryir.version import page_address
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.header import AUTO, Header, read_header

if TYPE_CHECKING:
    import torch

    from napari_baryir.network import BaryIR

logger = logging.getLogger(__name__)

SHIPPED_FOLDER = Path(__file__).parent

ImageKind = Literal["photo", "microscopy", "any"]


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Describes a model before it is loaded."""

    name: str
    """The name that `load_model` and ``--model`` take."""
    title: str
    """One line for a menu."""
    summary: str
    """The purpose of the model, in a sentence or two."""
    image_kind: ImageKind
    """The images that it was trained on."""
    licence: str
    """SPDX name of the licence of the weights, or "unknown"."""
    folder: Path
    """The folder of the file."""
    file: str
    """Name of the safetensors file."""

    @property
    def path(self) -> Path:
        """Return the path of the weights."""
        return self.folder / self.file

    @property
    def available(self) -> bool:
        """Return whether the weights are on this computer."""
        return self.path.is_file()

    @property
    def removable(self) -> tuple[str, ...]:
        """Return the degradations that it can remove one by one, as `removable_by` says."""
        return removable_by(self.path)

    @property
    def card_path(self) -> Path | None:
        """Return the model card in Markdown, if there is one beside the weights."""
        path = self.path.with_suffix(".md")
        return path if path.is_file() else None


REGISTRY: dict[str, ModelCard] = {
    card.name: card
    for card in (
        ModelCard(
            name="photo-compact",
            title="Photographs (compact)",
            summary="RGB photographs: noise, rain, haze, blur and low light.",
            image_kind="photo",
            licence="BSD-3-Clause",
            folder=SHIPPED_FOLDER,
            file="photo-compact.safetensors",
        ),
        ModelCard(
            name="microscopy-compact",
            title="Microscopy (compact)",
            summary="Grey and multichannel images: noise, defocus blur, background and stripes.",
            image_kind="microscopy",
            licence="BSD-3-Clause",
            folder=SHIPPED_FOLDER,
            file="microscopy-compact.safetensors",
        ),
    )
}
"""Model name to card."""

PUBLISHED = {
    "published-3d": "The authors' own: noise, rain, haze",
    "published-5d": "The authors' own: noise, rain, haze, blur, low light",
}
"""Names that the authors' checkpoints are to be imported by, and their titles."""
NOT_HERE_YET = "not here yet"
HOW_TO_GET = "published-weights.md"
"""The page of the documentation that says how to get and import them."""


def available_models() -> list[ModelCard]:
    """List the models of the registry, then the user's own (imported or fine-tuned).

    A file of the user's that cannot be read is left out and logged.
    """
    own = (_own_card(path) for path in sorted(_own_files().values()))
    return [*REGISTRY.values(), *(card for card in own if card is not None)]


def load_model(
    name_or_path: str | os.PathLike[str], *, device: str | torch.device = "cpu"
) -> BaryIR:
    """Load a network by name, or from a weights file.

    Parameters
    ----------
    name_or_path
        A name that `available_models` lists, or the path of a ``.safetensors`` file.
    device
        Where the network is put.

    Returns
    -------
    BaryIR
        In evaluation mode; carries its config, domains, prototypes and provenance.

    Raises
    ------
    ModelUnavailableError
        If the name is unknown, or its weights are not on this computer.
    WeightsError
        If the file is damaged or not one of ours.
    """
    path = find_weights(name_or_path)
    from napari_baryir.weights.files import load_weights  # late: it imports torch

    return load_weights(path, device=device)


def find_weights(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the path of a model's weights file; raises `ModelUnavailableError` as `load_model`."""
    card = REGISTRY.get(os.fspath(name_or_path))
    if card is not None:
        return _registered_file(card)
    path = Path(name_or_path)
    # Before paths are thought of: names may have dots, as in "worms-0.2".
    if len(path.parts) == 1 and not path.is_file() and path.name in (own := _own_files()):
        return own[path.name]
    if len(path.parts) > 1 or path.suffix != "" or path.is_file():
        return path  # read_header and load_weights say what is wrong with it
    raise ModelUnavailableError(
        f"{no_such_model(path.name)}; the path of a .safetensors file works as well"
    )


def find_card(name_or_path: str | os.PathLike[str]) -> ModelCard:
    """Return the card of a model by name, or of a weights file; raises as `load_model` does."""
    path = find_weights(name_or_path)
    return REGISTRY.get(os.fspath(name_or_path)) or _card_of(read_header(path), path)


def removable_by(name_or_path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the degradations that a model can remove while it leaves others.

    Reads the head of the weights file only. Empty for a network that removes all that it finds, and
    for a model that is not there.
    """
    try:
        header = read_header(find_weights(name_or_path))
    except BaryIRError:  # whoever loads it is told
        return ()
    steers = header.config.get("backbone") == "gated" and bool(header.config.get("steering"))
    return tuple(name for name in header.domains if name != CLEAN) if steers else ()


def require_removable(names: Iterable[str], known: Sequence[str], model: str) -> None:
    """Raise `InputError` if a model cannot remove one of the named degradations."""
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise InputError(
            f"model '{model}' does not know {', '.join(unknown)}; {hint}{' ' * bool(hint)}"
            f"it can remove {', '.join(known)}"
        )


def no_such_model(name: str) -> str:
    """Describe a name that no model has: the message lists the names there are, and the nearest."""
    if name in PUBLISHED:
        return f"'{name}' is {NOT_HERE_YET}; {page_address(HOW_TO_GET)} says how to get it"
    names = [card.name for card in available_models()]
    hint = did_you_mean(name, names)
    return f"there is no model '{name}'; {hint}{' ' * bool(hint)}known names are {', '.join(names)}"


def choose_model(rgb: bool) -> str:
    """Name the model that "auto" stands for: one for RGB images, one for all others."""
    return "photo-compact" if rgb else "microscopy-compact"


def _registered_file(card: ModelCard) -> Path:
    if not card.available:
        others = [c.name for c in available_models() if c.available]
        raise ModelUnavailableError(
            f"the weights of '{card.name}' belong at {card.path}, but this installation lacks "
            "them; reinstall napari-baryir, or give another model "
            f"({', '.join(others) or 'none is here'}) or the path of a .safetensors file"
        )
    return card.path


def _own_files() -> dict[str, Path]:
    """Return the weights files in the user's model folder by the names of their models."""
    found = sorted(model_folder().glob("*"))
    return {path.stem: path for path in found if path.suffix.lower() == ".safetensors"}


def _own_card(path: Path) -> ModelCard | None:
    """Return the card of a file in the model folder; None when it is registered or unreadable."""
    if path.stem in (*REGISTRY, AUTO) or any(card.path == path for card in REGISTRY.values()):
        return None
    try:
        header = read_header(path)
    except WeightsError as error:
        logger.warning("left out of the models: %s", error)
        return None
    return _card_of(header, path)


def _card_of(header: Header, path: Path) -> ModelCard:
    given = header.provenance
    kind = given.get("image_kind")
    return ModelCard(
        name=path.stem,
        title=_line(given.get("title", path.stem)),
        summary=_line(given.get("summary", f"Your own model, {path}.")),
        image_kind=kind if kind in ("photo", "microscopy") else "any",
        licence=_line(given.get("licence", "unknown")),
        folder=path.parent,
        file=path.name,
    )


def _line(text: object) -> str:
    """Return what a file says of itself in one line without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text)[:500])
