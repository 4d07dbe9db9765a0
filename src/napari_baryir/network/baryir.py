"""BaryIR: an image becomes a source, a barycenter and a residual embedding, and these an image."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from napari_baryir.network.config import GatedConfig, RestormerConfig


class Latents(NamedTuple):
    """What the encoder makes of an image. All at H/8 but the skips; float32."""

    source: Tensor
    """z, the source embedding, (B, D, H/8, W/8)."""
    barycenter: Tensor
    """b = T(z), the degradation-agnostic embedding, (B, D, H/8, W/8)."""
    residual: Tensor
    """r = z - b, the degradation-specific embedding, (B, D, H/8, W/8)."""
    skips: tuple[Tensor, ...]
    """Encoder features for the decoder, finest first."""


class BaryIROutput(NamedTuple):
    """The answer of the whole network."""

    restored: Tensor
    """(B, 3, H, W), float32, about [0, 1]; not clamped."""
    source: Tensor
    barycenter: Tensor
    residual: Tensor


class BaryIR(nn.Module):
    """The network of Tang et al. (TPAMI 2026), in any of its configurations.

    Parameters
    ----------
    config
        Which backbone, how deep and how wide.
    domains
        Names of the degradations that the weights were trained on, in the order of `prototypes`.
    """

    size_multiple = 8
    """Height and width of the input must be multiples of this."""

    def __init__(
        self, config: GatedConfig | RestormerConfig, *, domains: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.config = config
        self.domains = domains
        self.calibration: dict[str, Any] = {}
        """How the degradation estimates read the residual; empty when not calibrated."""
        self.provenance: dict[str, Any] = {}
        """Where the weights come from: recipe, data, version, licence."""
        self.weights_hash: str | None = None
        """SHA-256 of the file that the weights were read from; None when they were not."""
        self.prototypes: Tensor | None
        self.register_buffer("prototypes", None)
        self.subspace: Tensor | None
        """(d, D): the directions of the residual that the estimates look at; with `calibration`."""
        self.register_buffer("subspace", None)
        encoder, barycenter_map, decoder = _parts(config)
        self.encoder = encoder
        self.barycenter_map = barycenter_map
        self.decoder = decoder

    @property
    def embedding_width(self) -> int:
        """D, the channels of the embeddings z, b and r."""
        weight = cast("Tensor", cast("nn.Module", self.encoder.norm).weight)
        return weight.numel()

    def encode(self, x: Tensor) -> Latents:
        """Embed an image.

        Parameters
        ----------
        x
            (B, 3, H, W), about [0, 1]; H and W multiples of 8.
        """
        # z - b is a small difference of large numbers: under autocast the encoder and T may compute
        # in 16 bits inside, but z, b and r themselves are float32.
        source, skips = self.encoder(x)
        barycenter = self.barycenter_map(source)
        return Latents(source, barycenter, source - barycenter, skips)

    def decode(
        self,
        x: Tensor,
        latents: Latents,
        *,
        use_barycenter: bool = True,
        use_residual: bool = True,
    ) -> Tensor:
        """Turn embeddings into the restored image.

        Parameters
        ----------
        x
            The image that was encoded, (B, 3, H, W).
        latents
            What `encode` made of it.
        use_barycenter, use_residual
            When False, zeros stand in for that embedding wherever the decoder reads it.
        """
        b = latents.barycenter if use_barycenter else torch.zeros_like(latents.barycenter)
        r = latents.residual if use_residual else torch.zeros_like(latents.residual)
        restored: Tensor = self.decoder(x, b, r, latents.skips)
        return restored

    def forward(self, x: Tensor) -> BaryIROutput:
        """Encode and decode ``x``, (B, 3, H, W)."""
        latents = self.encode(x)
        restored = self.decode(x, latents)
        return BaryIROutput(restored, latents.source, latents.barycenter, latents.residual)


def _parts(config: GatedConfig | RestormerConfig) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Encoder, barycenter map and decoder of a configuration."""
    if isinstance(config, GatedConfig):
        from napari_baryir.network import gated

        return gated.Encoder(config), gated.BarycenterMap(config), gated.Decoder(config)
    from napari_baryir.network import restormer

    encoder = restormer.Encoder(config)
    # The published network norms z and b with one and the same module.
    norm = encoder.norm if config.shared_norm else None
    return encoder, restormer.BarycenterMap(config, norm), restormer.Decoder(config)
