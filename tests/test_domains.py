"""One table of colours for the domains, wherever they are drawn."""

from __future__ import annotations

import numpy as np

from napari_baryir.domains import NAMED, OTHERS, colors_of, hex_of
from napari_baryir.weights.header import read_header
from napari_baryir.weights.registry import find_weights


def test_domains_of_the_shipped_weights_are_named_and_differ() -> None:
    for model in ("photo-compact", "microscopy-compact"):
        domains = [*read_header(find_weights(model)).domains, "clean", "unknown"]
        assert set(domains) <= set(NAMED)
        colors = np.array(list(colors_of(domains).values()))
        apart = np.abs(colors[:, None] - colors[None]).sum(-1)[~np.eye(len(colors), dtype=bool)]
        assert apart.min() > 0.25


def test_domains_of_other_models_get_colours_of_their_own() -> None:
    domains = ["noise", "dust", "scratches", "clean", "unknown"]
    colors = colors_of(domains)
    assert colors["noise"] == NAMED["noise"]
    assert colors["dust"] in OTHERS
    assert len(set(colors.values())) == len(domains)


def test_hex_is_read_back_by_matplotlib() -> None:
    from matplotlib.colors import to_rgb

    for color in NAMED.values():
        np.testing.assert_allclose(to_rgb(hex_of(color)), color, atol=1 / 510 + 1e-9)
