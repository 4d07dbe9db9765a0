"""Every error that a user can meet: what came, what was expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class BaryIRError(Exception):
    """Base of all errors raised on purpose by napari-baryir."""


class InputError(BaryIRError, ValueError):
    """An image, an axes string or an option that cannot be used as given."""


class WeightsError(BaryIRError, ValueError):
    """A weights file that is damaged, incomplete or not one of ours."""


class UnsafeWeightsError(WeightsError):
    """A checkpoint that names something outside the allowed names; nothing of it was run."""


class ModelUnavailableError(WeightsError):
    """A known model whose weights are not on this computer, or an unknown name."""


class DeviceError(BaryIRError, RuntimeError):
    """A device or precision that is not there, or that is out of memory at the smallest tile."""


class DataError(BaryIRError, ValueError):
    """Training or evaluation data that is missing, empty, unreadable or does not fit together."""


class VersionError(BaryIRError, ImportError):
    """Libraries that are installed in versions that do not work together."""


def in_words(error: ValidationError, most: int | None = None) -> str:
    """List the fields that pydantic refused, each with its reason; some reasons are of no field.

    `most`: so many of them, where a file may have any number.
    """
    found = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()[:most]]
    reasons = [(field, reason.removeprefix("Value error, ")) for field, reason in found]
    return "; ".join(f"{field}: {reason}" if field else reason for field, reason in reasons)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a question that names the known word that is most like another, or empty text."""
    close = difflib.get_close_matches(word, known, n=1)
    if len(word) > 2:
        close += [each for each in known if each.startswith(word)]
    return f"did you mean {close[0]}?" if close else ""
