"""What the tests of fine-tuning share."""

from __future__ import annotations

from collections.abc import Iterator

from napari_baryir.training.finetune import FinetuneProgress


def measured(steps: Iterator[FinetuneProgress]) -> FinetuneProgress:
    """Go on until the starting model is measured: the last progress before the first step."""
    return next(each for each in steps if each.validating is None)
