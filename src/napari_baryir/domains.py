"""Name the domains that are no degradation; give each domain one colour, in maps and figures."""

from __future__ import annotations

from collections.abc import Sequence

CLEAN = "clean"
"""The domain of places with nothing wrong; always the last of the calibrated ones."""
UNKNOWN = "unknown"
"""The domain of places whose residual resembles none that the calibration saw."""

Color = tuple[float, float, float]
"""Red, green, blue in [0, 1]."""

NAMED: dict[str, Color] = {
    "noise": (0.88, 0.24, 0.62),
    "rain": (0.34, 0.71, 0.91),
    "haze": (0.94, 0.89, 0.26),
    "blur": (0.00, 0.68, 0.48),
    "low light": (0.36, 0.40, 0.98),
    "background": (0.95, 0.62, 0.00),
    "stripes": (0.90, 0.25, 0.10),
    CLEAN: (1.0, 1.0, 1.0),
    UNKNOWN: (0.6, 0.6, 0.6),
}
"""Bright ones after Okabe and Ito, whose colours colour-blind eyes can distinguish.

Noise and haze, which often come together, are far apart, and noise is a colour that few pictures
have."""

OTHERS: tuple[Color, ...] = (
    (0.45, 0.85, 0.45),
    (0.60, 0.40, 0.85),
    (0.95, 0.45, 0.45),
    (0.30, 0.80, 0.80),
    (0.70, 0.55, 0.35),
    (0.95, 0.60, 0.85),
)
"""For domains of the user's own models, in turn."""


def colors_of(domains: Sequence[str]) -> dict[str, Color]:
    """Return the colour of each domain."""
    others = [domain for domain in domains if domain not in NAMED]
    return {
        domain: NAMED.get(domain) or OTHERS[others.index(domain) % len(OTHERS)]
        for domain in domains
    }


def hex_of(color: Color) -> str:
    """Write a colour as Qt's style sheets do."""
    return "#" + "".join(f"{round(255 * value):02x}" for value in color)
