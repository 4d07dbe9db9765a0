"""Named configurations: a table to read."""

from __future__ import annotations

from napari_baryir.network.config import BaryIRConfig, GatedConfig, RestormerConfig

VARIANTS: dict[str, BaryIRConfig] = {
    # As published ("BaryNet"): 53.5 M parameters.
    "published": RestormerConfig(),
    # For tests and trials: the same parts, as few and as narrow as they can be.
    "tiny": GatedConfig(
        width=8,
        encoder_blocks=(1, 1, 1),
        barycenter_blocks=1,
        decoder_blocks=(1, 1, 1),
    ),
    "tiny-restormer": RestormerConfig(
        width=8,
        encoder_blocks=(1, 1, 1, 1),
        barycenter_blocks=1,
        residual_blocks=(1, 1),
        decoder_blocks=(1, 1, 1),
        refinement_blocks=1,
    ),
}
"""Variant name to configuration."""
