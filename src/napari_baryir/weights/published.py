"""Translate the names of the published network's tensors to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from napari_baryir.errors import InputError, WeightsError
from napari_baryir.network.config import RestormerConfig, parse_config

UNUSED = frozenset(
    f"{name}{level}.weight"
    for name in ("chnl_reduce", "reduce_noise_channel_")
    for level in (1, 2, 3)
)
"""Tensors of the published state dict that its forward pass never reads; they are left out."""

_SINGLE = {
    "patch_embed.proj": "encoder.stem",
    "down1_2.body.0": "encoder.down1.conv",
    "down2_3.body.0": "encoder.down2.conv",
    "down3_4.body.0": "encoder.down3.conv",
    "reduce_noise_level3": "decoder.fuse_reduce",
    "up4_3.body.0": "decoder.up3.conv",
    "reduce_chan_level3": "decoder.join3",
    "reduce_noise_level2": "decoder.reduce3",
    "up3_2.body.0": "decoder.up2.conv",
    "reduce_chan_level2": "decoder.join2",
    "reduce_noise_level1": "decoder.reduce2",
    "up2_1.body.0": "decoder.up1.conv",
    "output": "decoder.output",
    "resreduce_noise_level3": "decoder.pyramid.reduce_latent",
    "resup4_3.body.0": "decoder.pyramid.up3.conv",
    "resreduce_chan_level3": "decoder.pyramid.mix3",
    "resreduce_noise_level2": "decoder.pyramid.reduce3",
    "resup3_2.body.0": "decoder.pyramid.up2.conv",
    "resreduce_chan_level2": "decoder.pyramid.mix2",
    "resreduce_noise_level1": "decoder.pyramid.reduce2",
    "resup2_1.body.0": "decoder.pyramid.up1.conv",
}
"""Convolutions: the published module and ours; each has a ``weight`` only."""

_STAGES: dict[str, tuple[str, str, int | None]] = {
    "encoder_level1": ("encoder.level1", "encoder_blocks", 0),
    "encoder_level2": ("encoder.level2", "encoder_blocks", 1),
    "encoder_level3": ("encoder.level3", "encoder_blocks", 2),
    "latent": ("encoder.latent", "encoder_blocks", 3),
    "barylatent": ("barycenter_map.blocks", "barycenter_blocks", None),
    "decoder_level3": ("decoder.level3", "decoder_blocks", 0),
    "decoder_level2": ("decoder.level2", "decoder_blocks", 1),
    "decoder_level1": ("decoder.level1", "decoder_blocks", 2),
    "refinement": ("decoder.refinement", "refinement_blocks", None),
    "resdecoder_level3": ("decoder.pyramid.level3", "residual_blocks", 0),
    "resdecoder_level2": ("decoder.pyramid.level2", "residual_blocks", 1),
}
"""Sequences of blocks: the published module, ours, and the field that counts the blocks: a number,
or several, of which this is the one at that index."""

_LONE_BLOCKS = {
    "noise_level3": "decoder.fuse_noise.0",
    "noise_level2": "decoder.noise3.0",
    "noise_level1": "decoder.noise2.0",
}
"""Single blocks: published without an index, with one here."""

_BLOCK = {
    "norm1.body.weight": "norm1.weight",
    "norm1.body.bias": "norm1.bias",
    "attn.temperature": "attention.temperature",
    "attn.qkv.weight": "attention.qkv.weight",
    "attn.qkv_dwconv.weight": "attention.qkv_depthwise.weight",
    "attn.project_out.weight": "attention.project_out.weight",
    "norm2.body.weight": "norm2.weight",
    "norm2.body.bias": "norm2.bias",
    "ffn.project_in.weight": "feed_forward.project_in.weight",
    "ffn.dwconv.weight": "feed_forward.depthwise.weight",
    "ffn.project_out.weight": "feed_forward.project_out.weight",
}
"""Tensors within a block."""

_NORM = {"LN.body.weight": "encoder.norm.weight", "LN.body.bias": "encoder.norm.bias"}
"""The layer norm that serves z and b."""


def published_names(config: RestormerConfig) -> dict[str, str]:
    """Map published names to ours, for every tensor that a network of this depth uses."""
    names = {f"{theirs}.weight": f"{ours}.weight" for theirs, ours in _SINGLE.items()} | _NORM
    blocks = dict(_LONE_BLOCKS)
    for stage, (ours, field, index) in _STAGES.items():
        counted = getattr(config, field)
        count = counted if index is None else counted[index]
        blocks |= {f"{stage}.{i}": f"{ours}.{i}" for i in range(count)}
    for theirs, ours in blocks.items():
        names |= {f"{theirs}.{part}": f"{ours}.{name}" for part, name in _BLOCK.items()}
    return names


def read_config(shapes: Mapping[str, Sequence[int]]) -> RestormerConfig:
    """Read depth, width and heads from the shapes of tensors by their published names.

    Raises `WeightsError` if these are not the tensors of a published network.
    """
    width = _size(shapes, "patch_embed.proj.weight", 4)
    if width is None:
        names = ", ".join(list(shapes)[:5]) or "nothing"
        raise WeightsError(
            "this is not a published BaryIR network: patch_embed.proj.weight is missing or has "
            f"not 4 dimensions (the file holds {len(shapes)} tensors: {names}, ...)"
        )
    defaults = RestormerConfig().heads
    encoder = [stage for stage, (_, field, _) in _STAGES.items() if field == "encoder_blocks"]
    heads = [_size(shapes, f"{stage}.0.attn.temperature", 3) for stage in encoder]
    fields: dict[str, Any] = {
        "width": width,
        "heads": tuple(h or default for h, default in zip(heads, defaults, strict=True)),
    }
    for stage, (_, field, index) in _STAGES.items():
        depth = _depth(shapes, stage)
        fields[field] = depth if index is None else (*fields.get(field, ()), depth)
    try:
        config = parse_config({"backbone": "restormer", **fields})
    except InputError as error:
        raise WeightsError(f"this is not a published BaryIR network: {error}") from None
    assert isinstance(config, RestormerConfig)
    return config


def _size(shapes: Mapping[str, Sequence[int]], name: str, dimensions: int) -> int | None:
    """Return the first size of a tensor; None if none has this name and number of dimensions."""
    shape = shapes.get(name, ())
    return shape[0] if len(shape) == dimensions and shape[0] > 0 else None


def _depth(shapes: Mapping[str, Sequence[int]], stage: str) -> int:
    """Count the blocks of a stage by the highest index; at least 1, so that none is missed."""
    pattern = re.compile(re.escape(stage) + r"\.(\d{1,4})\.")
    return 1 + max((int(m[1]) for m in map(pattern.match, shapes) if m), default=0)
