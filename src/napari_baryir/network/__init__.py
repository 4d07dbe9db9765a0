"""The network: tensors in, tensors out. Knows no files and no images."""

from napari_baryir.network.baryir import BaryIR, BaryIROutput, Latents
from napari_baryir.network.config import (
    BaryIRConfig,
    GatedConfig,
    RestormerConfig,
    parse_config,
)

__all__ = [
    "BaryIR",
    "BaryIRConfig",
    "BaryIROutput",
    "GatedConfig",
    "Latents",
    "RestormerConfig",
    "parse_config",
]
