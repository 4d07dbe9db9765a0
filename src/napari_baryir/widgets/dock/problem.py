"""Errors as sentences, for the dock and napari's notifications, with details behind a button."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass

from napari_baryir.errors import BaryIRError, DataError, InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """An error in words for the user."""

    sentence: str
    """The problem, and the advice."""
    details: str
    """The whole traceback; empty where the sentence says it all."""
    expected: bool
    """Whether we raised it on purpose; any other error is a defect."""

    @classmethod
    def of(cls, error: BaseException) -> Problem:
        """Put an exception into words."""
        obvious = isinstance(error, InputError | DataError)
        details = "" if obvious else "".join(traceback.format_exception(error))
        expected = isinstance(error, BaryIRError)
        if expected:
            sentence = _as_sentence(str(error))
        elif isinstance(error, MemoryError):
            sentence = (
                "This computer is out of memory. Close other programs, choose a part of the "
                "layer or, when restoring, stream the result to OME-Zarr (Advanced)."
            )
        elif isinstance(error, OSError) and error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            sentence = _as_sentence(
                f"{where}{error.strerror}; check that the disk is there, has room, and lets you "
                "read and write"
            )
        else:
            sentence = (
                f"Something unexpected went wrong ({_as_sentence(type(error).__name__)[:-1]}: "
                f"{str(error).splitlines()[0] if str(error) else 'no message'}). "
                "Details has what to report."
            )
        return cls(sentence, details, expected)


def _as_sentence(text: str) -> str:
    """Put a text in one line; problems that it lists keep a line each."""
    text, *listed = text.split("\n- ")
    if listed:
        each = (f"• {_as_sentence(problem)}" for problem in listed)
        return "\n".join([_as_sentence(f"{text.rstrip(':')}."), *each])
    text = " ".join(text.split())
    if not text:
        return "Something went wrong."
    if text.split()[0].isalpha():  # a file's name keeps its case
        text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."


def notify(problem: Problem) -> None:
    """Show a problem in napari's notifications, as a message and never as a traceback."""
    from napari.utils.notifications import show_error

    logger.log(
        logging.INFO if problem.expected else logging.ERROR,
        "%s",
        problem.details or problem.sentence,
    )
    show_error(problem.sentence)
