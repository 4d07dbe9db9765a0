"""Read the header of a weights file, without its tensors and without torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from safetensors import SafetensorError, safe_open

from napari_baryir.errors import InputError, ModelUnavailableError, WeightsError, in_words

HEADER_KEY = "napari_baryir"
"""Key of our JSON in the metadata of the safetensors header."""
FORMAT = 1
"""Version of the layout; a reader refuses other versions."""


class Header(BaseModel):
    """Our JSON in a weights file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    config: dict[str, Any]
    """Fields of the network's configuration."""
    domains: tuple[str, ...] = ()
    """Names of the degradations that the weights were trained on; printable."""
    calibration: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    """The origin of the weights: recipe, data, version, licence."""

    @field_validator("domains")
    @classmethod
    def _printable(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        if not all(name.isprintable() for name in domains):  # a terminal would obey
            raise ValueError("names must consist of letters that can be printed")
        return domains


AUTO = "auto"
"""Stands for the model that suits an image, so that no model can have this name."""


def refuse_auto(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` where weights would be a model of the name `AUTO`."""
    if Path(path).stem == AUTO:
        raise InputError(f"{path}: 'auto' means the model that suits an image; use another name")


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read the header of a weights file.

    Raises `ModelUnavailableError` if there is no such file, and `WeightsError` if it is not a whole
    safetensors file, or not one of ours.
    """
    path = Path(path)
    require_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return parse_header(file.metadata(), path.name)
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from None


def parse_header(metadata: Mapping[str, str] | None, where: str) -> Header:
    """Read our JSON from the metadata of a safetensors header of the file `where`.

    Raises `WeightsError` if it is missing, malformed or of a format that is not known.
    """
    text = (metadata or {}).get(HEADER_KEY)
    if text is None:
        raise WeightsError(
            f"{where} has no '{HEADER_KEY}' entry in its header, so it does not say which network "
            "it is for; published checkpoints are converted by napari-baryir import-weights"
        )
    try:
        header = Header.model_validate_json(text)
    except ValidationError as error:
        raise WeightsError(f"the header of {where} cannot be read: {in_words(error)}") from None
    if header.format != FORMAT:
        raise WeightsError(
            f"{where} has format {header.format}, this version reads format {FORMAT}; "
            "update napari-baryir"
        )
    return header


def weights_hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_file(path: Path) -> None:
    """Raise `ModelUnavailableError` unless a path is a file."""
    if not path.is_file():
        raise ModelUnavailableError(f"there is no weights file {path}; check the path")


def damaged(path: Path, error: Exception) -> WeightsError:
    """Describe a file that is not safetensors."""
    return WeightsError(
        f"{path.name} is not a whole safetensors file ({error}); published checkpoints are "
        "converted by napari-baryir import-weights, a damaged file must be fetched again"
    )
