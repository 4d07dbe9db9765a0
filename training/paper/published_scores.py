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

_3D = ("SOTS outdoor", "Rain100L", "BSD68 sigma 15", "BSD68 sigma 25", "BSD68 sigma 50")
_5D = ("SOTS outdoor", "Rain100L", "BSD68 sigma 25", "GoPro", "LOL-v1")
_SCORES = {
    "Restormer, 3D": (29.92, .970, 35.64, .971, 33.81, .932, 31.00, .880, 27.85, .792),
    "PromptIR, 3D": (30.58, .974, 36.37, .972, 33.97, .933, 31.29, .888, 28.06, .798),
    "BaryIR, 3D": (31.40, .980, 39.02, .985, 34.16, .935, 31.54, .892, 28.25, .802),
    "BaryIR with PromptIR, 3D": (31.95, .988, 39.36, .988, 34.30, .936, 31.61, .893, 28.45, .806),
    "Restormer, 5D": (24.09, .927, 34.81, .971, 30.78, .876, 27.22, .829, 20.41, .806),
    "PromptIR, 5D": (30.41, .972, 36.17, .970, 31.20, .885, 27.93, .851, 22.89, .829),
    "BaryIR, 5D": (31.20, .979, 38.10, .982, 31.43, .891, 29.51, .889, 23.37, .854),
    "BaryIR with PromptIR, 5D": (31.68, .980, 38.36, .984, 31.49, .894, 29.84, .895, 23.88, .862),
}  # fmt: skip
"""Method to PSNR and SSIM on each test set of its table, in turn."""

PAPER_SCORES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    method: dict(
        zip(_3D if "3D" in method else _5D, zip(row[::2], row[1::2], strict=True), strict=True)
    )
    for method, row in _SCORES.items()
}
"""Method to test set to PSNR and SSIM. 3D and 5D: trained on three and on five degradations."""
