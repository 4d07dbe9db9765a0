"""Named configurations: a table to read."""

from __future__ import annotations

from napari_baryir.network.config import BaryIRConfig, GatedConfig, PromptConfig, RestormerConfig

_COMPACT = GatedConfig(
    width=32,
    encoder_blocks=(2, 3, 4),
    barycenter_blocks=2,
    decoder_blocks=(2, 3, 3),
    context=6,
    kernel_bank=8,
    kernel_size=13,
    spectrum=128,
    deblurring=12,
    scene=96,
    steering=3,
)
_TINY_RESTORMER = RestormerConfig(
    width=8,
    encoder_blocks=(1, 1, 1, 1),
    barycenter_blocks=1,
    residual_blocks=(1, 1),
    decoder_blocks=(1, 1, 1),
    refinement_blocks=1,
)
_TINY_PROMPTS = PromptConfig(length=3, sizes=(2, 4, 8), channels=(8, 8, 8))

VARIANTS: dict[str, BaryIRConfig] = {
    # As published ("BaryNet"): 53.5 M parameters.
    "published": RestormerConfig(),
    # The paper's best variant: the same with PromptIR's prompts in the decoder: 62.0 M.
    "promptir": RestormerConfig(prompts=PromptConfig()),
    # What microscopy-compact is; photo-compact has more filters against blur. 2.0 M parameters.
    "compact": _COMPACT,
    "compact-photo": _COMPACT.model_copy(update={"deblurring": 24}),
    # For tests and trials: the same parts, as few and as narrow as they can be.
    "tiny": GatedConfig(
        width=8, encoder_blocks=(1, 1, 1), barycenter_blocks=1, decoder_blocks=(1, 1, 1)
    ),
    "tiny-restormer": _TINY_RESTORMER,
    "tiny-promptir": _TINY_RESTORMER.model_copy(update={"prompts": _TINY_PROMPTS}),
}
"""Variant name to configuration."""
