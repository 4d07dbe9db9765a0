"""BaryIR: an image becomes a source, a barycenter and a residual embedding, and these an image."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_baryir.domains import CLEAN
from napari_baryir.errors import InputError
from napari_baryir.network.config import BaryIRConfig, GatedConfig
from napari_baryir.network.scene import PHYSICS, Scene, at_place, correct, scene_size, whole
from napari_baryir.network.steering import ResidualSubspaces, as_amounts


class Latents(NamedTuple):
    """The embeddings of an image. All at H/8 but the skips; float32."""

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
        The backbone, its depth and its width.
    domains
        The domains that the weights were trained on, in the order of `prototypes`.
    """

    size_multiple = 8
    """Height and width of the input must be multiples of this."""

    def __init__(self, config: BaryIRConfig, *, domains: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.config = config
        self.domains = domains
        self.calibration: dict[str, Any] = {}
        """The calibration of the degradation estimates; empty when there is none."""
        self.provenance: dict[str, Any] = {}
        """The origin of the weights: recipe, data, version, licence."""
        self.weights_hash: str | None = None
        """SHA-256 of the file that the weights were read from; None when they were not."""
        self.prototypes: Tensor | None
        self.register_buffer("prototypes", None)
        self.subspace: Tensor | None
        """(d, D): the directions of the residual that the estimates look at; with `calibration`."""
        self.register_buffer("subspace", None)
        self.encoder, self.barycenter_map, self.decoder = _parts(config, domains)
        gated = config if isinstance(config, GatedConfig) else None
        self.scene_side = gated.scene if gated is not None else 0
        """Long side of the reduced picture that `look` wants; 0 for networks without a scene."""
        self.subspaces: ResidualSubspaces | None = None
        """Residual directions of each degradation; None for networks that cannot be steered."""
        if gated is not None and gated.steering:
            self.subspaces = ResidualSubspaces(
                len(self.degradations), gated.steering, self.embedding_width
            )

    @property
    def degradations(self) -> tuple[str, ...]:
        """Return the domains that can be removed, all but clean, in the order of the amounts."""
        return tuple(name for name in self.domains if name != CLEAN)

    def for_domains(self, domains: tuple[str, ...]) -> BaryIR:
        """Return the same network for other domains, without prototypes and calibration.

        New degradations get residual directions of their own, orthogonal to the others'. Raises
        `InputError` if one of them is corrected by physics that this network has not learnt.
        """
        model = BaryIR(self.config, domains=domains)
        new = [name for name in PHYSICS if (name in domains) != (name in self.domains)]
        if self.scene_side and new:
            raise InputError(
                f"the network decides {', '.join(new)} for whole scenes only as it was trained to; "
                "start from a model with the same of these domains"
            )
        estimates = ("prototypes", "subspace")
        state = {k: v for k, v in self.state_dict().items() if k not in estimates}
        if self.subspaces is not None and model.subspaces is not None:
            rank = self.subspaces.rank
            generator = torch.Generator().manual_seed(len(domains))
            grown = torch.empty_like(model.subspaces.directions.detach())
            nn.init.orthogonal_(grown, generator=generator)
            for row, name in enumerate(model.degradations):
                if name in self.degradations:
                    known = self.degradations.index(name)
                    old = self.subspaces.directions[known * rank : (known + 1) * rank]
                    grown[row * rank : (row + 1) * rank] = old.detach()
            state["subspaces.directions"] = grown
        model.load_state_dict(state)
        return model

    @property
    def evidence_width(self) -> int:
        """Return the number of channels of `evidence`."""
        return self.embedding_width * (2 if self.scene_side else 1)

    @property
    def embedding_width(self) -> int:
        """Return D, the number of channels of the embeddings z, b and r."""
        weight = cast("Tensor", cast("nn.Module", self.encoder.norm).weight)
        return weight.numel()

    def encode(self, x: Tensor) -> Latents:
        """Embed images, (B, 3, H, W), about [0, 1]; H and W are multiples of 8."""
        # z - b is a small difference of large numbers: under autocast the encoder and T may compute
        # in 16 bits inside, but z, b and r themselves are float32.
        source, skips = self.encoder(x)
        barycenter = self.barycenter_map(source)
        return Latents(source, barycenter, source - barycenter, skips)

    def look(
        self, reduced: Tensor, *, use_barycenter: bool = True, use_residual: bool = True
    ) -> Scene | None:
        """Decide what is coarse, once for a whole plane: every tile of it reads the decision.

        `reduced` is the plane reduced to `scene_size`, (B, 3, h, w), about [0, 1]. Without
        `use_barycenter` or `use_residual` zeros stand in for that embedding. Returns None for
        networks without a scene.
        """
        if not self.scene_side:
            return None
        latents = self.encode(reduced)
        return self.decide(
            reduced, latents, use_barycenter=use_barycenter, use_residual=use_residual
        )

    def decide(
        self,
        reduced: Tensor,
        latents: Latents,
        *,
        use_barycenter: bool = True,
        use_residual: bool = True,
    ) -> Scene:
        """Decide as `look`, with the embeddings of the reduced picture at hand."""
        b, r = latents.barycenter, latents.residual
        used = _or_zeros(b, use_barycenter), _or_zeros(r, use_residual)
        scene: Scene = self._gated.look(reduced, *used)
        return scene

    @property
    def _gated(self) -> Any:
        """Return the decoder of a network that looks at scenes."""
        return self.decoder

    def evidence(
        self, latents: Latents, scene: Scene | None = None, place: Tensor | None = None
    ) -> Tensor:
        """Return the features that estimates read, (B, evidence_width, H/8, W/8), float32.

        They are the residual of each place of a tile, and for networks with a scene also that of
        the scene there: haze and darkness show in the whole of a picture only. `scene` and `place`
        are as of `decode`.
        """
        own = latents.residual.float()
        if scene is None:
            return own
        at = whole(len(own)) if place is None else place
        around = at_place(scene.residual, at, (own.shape[2], own.shape[3]))
        return torch.cat((own, around), dim=1)

    def decode(
        self,
        x: Tensor,
        latents: Latents,
        *,
        scene: Scene | None = None,
        place: Tensor | None = None,
        removed: Tensor | None = None,
        use_barycenter: bool = True,
        use_residual: bool = True,
    ) -> Tensor:
        """Turn embeddings into the restored image.

        Parameters
        ----------
        x
            The image that was encoded, (B, 3, H, W).
        latents
            The embeddings of it, from `encode`.
        scene
            The decision of `look` for the plane of x. None for networks without a
            scene; for others, x then is the whole plane.
        place
            Where x lies in its plane, (B, 4), as in `napari_baryir.network.scene.at_place`; None
            for the whole plane.
        removed
            Amount of each of `degradations` to remove, (K,) or (B, K), from 0 to 1; None for all
            of all.
        use_barycenter, use_residual
            When False, zeros stand in for that embedding wherever the decoder reads it.
        """
        r = latents.residual
        amounts = as_amounts(removed, x.shape[0], len(self.degradations))
        if amounts is not None and self.subspaces is not None:
            r = self.subspaces.keep(r, amounts)
        features = _or_zeros(latents.barycenter, use_barycenter), _or_zeros(r, use_residual)
        restored: Tensor
        if not self.scene_side:
            restored = self.decoder(x, *features, latents.skips)
            return restored
        if scene is None:
            scene = self.look(self.reduce(x))
        seen = scene, whole(x.shape[0]) if place is None else place
        restored = self.decoder(x, *features, latents.skips, seen, self._by_name(amounts))
        return restored

    def correct(self, reduced: Tensor, scene: Scene, removed: Tensor | None = None) -> Tensor:
        """Correct what is coarse in the reduced picture itself, (B, 3, h, w)."""
        amounts = self._by_name(as_amounts(removed, len(reduced), len(self.degradations)))
        return correct(reduced.float(), scene, scene.maps, self._gated.head.physics, amounts)

    def _by_name(self, amounts: Tensor | None) -> dict[str, Tensor]:
        if amounts is None:
            return {}
        columns = amounts[:, :, None, None, None].unbind(dim=1)
        return dict(zip(self.degradations, columns, strict=True))

    def reduce(self, x: Tensor) -> Tensor:
        """Reduce whole planes (B, 3, H, W) to what `look` wants, by means over areas."""
        return F.interpolate(x, scene_size(x.shape[2], x.shape[3], self.scene_side), mode="area")

    def forward(self, x: Tensor) -> BaryIROutput:
        """Encode and decode whole planes, (B, 3, H, W)."""
        latents = self.encode(x)
        restored = self.decode(x, latents)
        return BaryIROutput(restored, latents.source, latents.barycenter, latents.residual)


def _or_zeros(embedding: Tensor, used: bool) -> Tensor:
    return embedding if used else torch.zeros_like(embedding)


def _parts(
    config: BaryIRConfig, domains: tuple[str, ...]
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return the encoder, barycenter map and decoder of a configuration."""
    if isinstance(config, GatedConfig):
        from napari_baryir.network import gated

        return gated.Encoder(config), gated.BarycenterMap(config), gated.Decoder(config, domains)
    from napari_baryir.network import restormer

    encoder = restormer.Encoder(config)
    # The published network norms z and b with one and the same module.
    norm = encoder.norm if config.shared_norm else None
    return encoder, restormer.BarycenterMap(config, norm), restormer.Decoder(config)
