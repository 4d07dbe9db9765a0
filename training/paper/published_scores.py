"""Published scores, to be shown beside ours and marked as published: none was measured here.

Read from Tables 1 and 2 of Tang et al., "Learning Continuous Wasserstein Barycenter Space for
Generalized All-in-One Image Restoration" (TPAMI 2026, arXiv 2602.23169), as the authors' README
shows them. PSNR in dB and SSIM, both on RGB. The tables' averages are left out: for some methods
they do not follow from the columns.
"""

from __future__ import annotations

from collections.abc import Mapping

TEST_SETS: Mapping[str, int] = {
    "SOTS outdoor": 500,
    "Rain100L": 100,
    "BSD68 sigma 15": 68,
    "BSD68 sigma 25": 68,
    "BSD68 sigma 50": 68,
    "GoPro": 1111,
    "LOL-v1": 15,
}
"""Name of a test set, as our reports call it, to its number of images."""

_THREE = ("SOTS outdoor", "Rain100L", "BSD68 sigma 15", "BSD68 sigma 25", "BSD68 sigma 50")
_FIVE = ("SOTS outdoor", "Rain100L", "BSD68 sigma 25", "GoPro", "LOL-v1")


_3D: dict[str, tuple[tuple[float, float], ...]] = {
    "Restormer, 3D": (
        (29.92, 0.970),
        (35.64, 0.971),
        (33.81, 0.932),
        (31.00, 0.880),
        (27.85, 0.792),
    ),
    "PromptIR, 3D": (
        (30.58, 0.974),
        (36.37, 0.972),
        (33.97, 0.933),
        (31.29, 0.888),
        (28.06, 0.798),
    ),
    "BaryIR, 3D": ((31.40, 0.980), (39.02, 0.985), (34.16, 0.935), (31.54, 0.892), (28.25, 0.802)),
    "BaryIR with PromptIR, 3D": (
        (31.95, 0.988),
        (39.36, 0.988),
        (34.30, 0.936),
        (31.61, 0.893),
        (28.45, 0.806),
    ),
}
_5D: dict[str, tuple[tuple[float, float], ...]] = {
    "Restormer, 5D": (
        (24.09, 0.927),
        (34.81, 0.971),
        (30.78, 0.876),
        (27.22, 0.829),
        (20.41, 0.806),
    ),
    "PromptIR, 5D": (
        (30.41, 0.972),
        (36.17, 0.970),
        (31.20, 0.885),
        (27.93, 0.851),
        (22.89, 0.829),
    ),
    "BaryIR, 5D": ((31.20, 0.979), (38.10, 0.982), (31.43, 0.891), (29.51, 0.889), (23.37, 0.854)),
    "BaryIR with PromptIR, 5D": (
        (31.68, 0.980),
        (38.36, 0.984),
        (31.49, 0.894),
        (29.84, 0.895),
        (23.88, 0.862),
    ),
}

PUBLISHED: Mapping[str, Mapping[str, tuple[float, float]]] = {
    method: dict(zip(names, scores, strict=True))
    for names, table in ((_THREE, _3D), (_FIVE, _5D))
    for method, scores in table.items()
}
"""Method to test set to PSNR and SSIM. 3D and 5D: trained on three and on five degradations."""
