"""The choices of the Fine-tune dock, names of models, and controls for files and folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QFileDialog

from napari_baryir.errors import InputError
from napari_baryir.training.names import CHECKPOINT, PROFILES
from napari_baryir.weights.cache import model_folder
from napari_baryir.weights.registry import REGISTRY
from napari_baryir.widgets.dock.controls import FolderEdit
from napari_baryir.widgets.finetune.job import Kind

KINDS: dict[str, Kind] = {
    "pairs": "pairs",
    "clean images": "clean",
    "noisy images": "noisy",
}

EXPLAINED: dict[Kind, str] = {
    "pairs": "The same scenes twice, pixel on pixel: degraded, and as they should be.",
    "clean": "Clean images are degraded here, again and again, and the model learns to undo it.",
    "noisy": "No clean image is needed, but noise that is independent from pixel to pixel: images "
    "as the camera took them, not scaled, sharpened or saved as JPEG.",
}

FROM_LAYERS, FROM_FOLDERS = "layers", "folders"

MODES: dict[str, str] = {
    "all but the encoder": "frozen-encoder",
    "low-rank updates": "lora",
    "everything": "full",
}

BRIGHTNESS: dict[str, str] = {
    "match if it differs much": "auto",
    "match": "match",
    "keep": "keep",
}

NOT_IN_NAMES = '/\\:*?"<>|'


def degradation_choices(model: str) -> list[tuple[str, str]]:
    """Return the degradations that fit a model, as labels and ``profile:name``."""
    kind = image_kind(model)
    profiles = [name for name in PROFILES if kind in (name, "any")]
    one = len(profiles) == 1
    choices = []
    for profile in profiles:
        prefix = "" if one else f"{profile}: "
        choices += [(f"{prefix}{name}", f"{profile}:{name}") for name in PROFILES[profile]]
        choices.append((f"{prefix}all of these", profile))
    return choices


def image_kind(model: str) -> str:
    """Return the images that a model was trained on: "photo", "microscopy" or "any"."""
    from napari_baryir.weights.registry import available_models

    kinds = {card.name: card.image_kind for card in available_models()}
    return kinds.get(model, "any")


def weights_path(name: str) -> Path:
    """Return the weights file of a model; `InputError` if it cannot have that name."""
    name = name.strip()
    if not name:
        raise InputError("give the new model a name")
    wrong = sorted(
        {letter for letter in name if letter in NOT_IN_NAMES or not letter.isprintable()}
    )
    if wrong or name.startswith("."):
        shown = " ".join(wrong) or "a dot at its beginning"
        raise InputError(f"the name “{name}” has {shown}; leave that out")
    if name in REGISTRY or name == "auto":
        raise InputError(f"a model that ships is called “{name}”; choose another name")
    return model_folder() / f"{name}.safetensors"


def has_stopped_run(name: str) -> bool:
    """Whether a training of that name was stopped and can go on."""
    try:
        path = weights_path(name)
    except InputError:
        return False
    return (path.with_suffix(".run") / CHECKPOINT).is_file()


def free_name(name: str) -> str:
    """Return a name without a model or stopped run: this one, or with a number behind it."""
    stem, number = name, 1
    head, _, tail = name.rpartition("-")
    if head and tail.isdecimal():
        stem, number = head, int(tail)
    while weights_path(name).exists() or has_stopped_run(name):
        number += 1
        name = f"{stem}-{number}"
    return name


class FileEdit(FolderEdit):
    """Asks for a file."""

    def _browse(self) -> None:
        found, _ = QFileDialog.getOpenFileName(self, self._title, self.path)
        if found:
            self.path = found
            self.chosen.emit()


class PathControl:
    """A folder or file to choose, with the attributes of magicgui's controls that `Form` needs."""

    def __init__(self, label: str, edit: FolderEdit) -> None:
        self.label = label
        self.native = edit
        self.changed = edit.chosen

    @property
    def value(self) -> str:
        """The typed path; may be empty."""
        return self.native.path

    @value.setter
    def value(self, path: Any) -> None:
        self.native.path = str(path)

    def folder(self, images: str) -> Path:
        """Return the folder; `InputError` if there is none."""
        if not self.value:
            raise InputError(f"choose the folder of the {images} images")
        path = Path(self.value).expanduser()
        if not path.is_dir():
            raise InputError(f"{path} is no folder; choose that of the {images} images")
        return path
