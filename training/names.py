"""Names and sizes of training that others need, too; importing them takes no time."""

from __future__ import annotations

CHECKPOINT = "checkpoint.pt"
"""Name of the file in a run's folder that a training goes on from."""

YOURS = "your images"
"""Name of the user's own validation images among the domains of a fine-tuning."""

SMALLEST_SIDE = 32
"""Least height and width of an image to fine-tune on, in pixels.

Patches smaller than this hold less than 4 x 4 cells of the latent grid.
"""

PROFILES: dict[str, tuple[str, ...]] = {
    "microscopy": ("noise", "blur", "background", "stripes"),
    "photo": ("noise", "rain", "haze", "blur", "low light"),
}
"""The kinds of images that can be degraded, and the domains of each."""
