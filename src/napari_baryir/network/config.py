"""Configurations of the network: frozen, typed, unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from napari_baryir.errors import InputError, in_words

Blocks = Annotated[int, Field(ge=0, le=64)]


class Frozen(BaseModel):
    """Settings that do not change and know no further keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GatedConfig(Frozen):
    """Compact network of gated convolution blocks on a half-resolution stem.

    Levels are H/2 (`width` channels), H/4 (twice as many) and H/8 (four times as many).
    """

    backbone: Literal["gated"] = "gated"
    width: PositiveInt = 32
    """Channels at half resolution."""
    encoder_blocks: tuple[Blocks, Blocks, Blocks] = (3, 3, 4)
    """Blocks at H/2, H/4 and H/8 on the way down."""
    barycenter_blocks: Blocks = 2
    """Blocks of the barycenter map T, at H/8."""
    decoder_blocks: tuple[Blocks, Blocks, Blocks] = (2, 3, 3)
    """Blocks at H/8, H/4 and H/2 on the way up."""
    context: Blocks = 8
    """Half-width, in latent cells of 8 pixels, of the window over which channel attention averages.

    A window instead of the whole input, so that a tile and the whole image give the same answer."""
    kernel_bank: Blocks = 0
    """Number of large learnt filters mixed per place (0: none)."""
    kernel_size: PositiveInt = 13
    """Side of the large filters, in pixels; odd."""
    spectrum: Annotated[int, Field(ge=0, le=1024)] = 0
    """Hidden channels of the parts that read the local power spectrum (0: none)."""
    deblurring: Blocks = 0
    """Number of large filters against blur that the spectrum mixes (0: none)."""
    scene: Annotated[int, Field(ge=0, le=1024, multiple_of=8)] = 0
    """Long side, in pixels, of the reduced picture from which haze, darkness and background are
    decided once for the whole plane (0: each place decides for itself)."""
    steering: Annotated[int, Field(ge=0, le=16)] = 0
    """Directions of the residual that belong to each degradation, so that it can be left in the
    image (0: the network removes all that it finds)."""

    @model_validator(mode="after")
    def _deblurring_reads_the_spectrum(self) -> GatedConfig:
        if self.deblurring and not self.spectrum:
            raise ValueError(f"deblurring {self.deblurring} needs spectrum, its hidden channels")
        return self

    @field_validator("kernel_size")
    @classmethod
    def _is_odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError(f"kernel_size {size} has no centre; give an odd number")
        return size


class PromptConfig(Frozen):
    """Prompts of the decoder, as in PromptIR (Potlapalli et al., NeurIPS 2023).

    Three places with five components each, as there. Each triple is for H/8, H/4 and H/2.
    """

    length: PositiveInt = 5
    """Components that a prompt is mixed from."""
    sizes: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 32, 64)
    """Side of the components: that of the features of a patch of 128 pixels. Resized to those of
    other images."""
    channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (320, 128, 64)
    """Channels of the prompts."""


class RestormerConfig(Frozen):
    """The published network ("BaryNet"): transformer blocks with transposed attention.

    Defaults are the published values.
    """

    backbone: Literal["restormer"] = "restormer"
    width: PositiveInt = 48
    """Channels at full resolution; doubled at each of the three levels below."""
    encoder_blocks: tuple[Blocks, Blocks, Blocks, Blocks] = (4, 6, 6, 8)
    """Blocks at H, H/2, H/4 and H/8."""
    barycenter_blocks: Blocks = 8
    """Blocks of the barycenter map T, at H/8."""
    residual_blocks: tuple[Blocks, Blocks] = (6, 6)
    """Blocks of the residual pyramid at H/4 and H/2."""
    decoder_blocks: tuple[Blocks, Blocks, Blocks] = (6, 6, 4)
    """Blocks at H/4, H/2 and H on the way up."""
    refinement_blocks: Blocks = 4
    """Blocks at H after the decoder."""
    heads: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (1, 2, 4, 8)
    """Attention heads at H, H/2, H/4 and H/8."""
    expansion: Annotated[float, Field(gt=0)] = 2.66
    """Hidden channels of the feed-forward part, per channel."""
    skip_factor: float = 0.8
    """Weight of the residual pyramid where it is added to a skip."""
    shared_norm: bool = True
    """One layer norm for z and b, as published. With it, orthogonality pulls r to zero."""
    prompts: PromptConfig | None = None
    """Prompts in the decoder, the paper's best variant, of which no code is published. None: as the
    published code is."""


BaryIRConfig = Annotated[GatedConfig | RestormerConfig, Field(discriminator="backbone")]
"""The configuration of any backbone."""

_ADAPTER: TypeAdapter[BaryIRConfig] = TypeAdapter(BaryIRConfig)


def parse_config(mapping: Mapping[str, Any]) -> BaryIRConfig:
    """Make a configuration from plain values by field name; ``backbone`` says which kind.

    Raises `InputError` if a key is unknown or a value does not fit its field.
    """
    try:
        return _ADAPTER.validate_python(dict(mapping))
    except ValidationError as error:
        raise InputError(f"not a valid network configuration: {in_words(error)}") from None
