"""The network: tensors in, tensors out. Knows no files and no images."""

from napari_baryir.network.baryir import BaryIR, BaryIROutput, Latents
from napari_baryir.network.config import (
    BaryIRConfig,
    GatedConfig,
    PromptConfig,
    RestormerConfig,
    parse_config,
)

__all__ = [
    "BaryIR",
    "BaryIRConfig",
    "BaryIROutput",
    "GatedConfig",
    "Latents",
    "PromptConfig",
    "RestormerConfig",
    "parse_config",
]
