"""The table of an ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_baryir.training.evaluate import INPUT

Means = Mapping[str, Mapping[str, Sequence[float]]]
"""Method to domain to mean PSNR, one for each seed that is done."""


def to_table(means: Means, unseen: Sequence[str], mixtures: Sequence[str] = ()) -> str:
    """Markdown: PSNR of the input, and of each method its mean and standard deviation over the
    seeds (that of a sample, ``n - 1``), by domain and on average over each group of domains.

    Parameters
    ----------
    means
        From `ablation.collect`.
    unseen
        Domains that were not trained on.
    mixtures
        Domains that are two at once.
    """
    methods = [INPUT, *(method for method in means if method != INPUT)]
    domains = list(means.get(INPUT, {}))
    seen = [domain for domain in domains if domain not in (*unseen, *mixtures)]
    groups = {
        "seen": seen,
        "unseen": [domain for domain in domains if domain in unseen],
        "mixtures": [domain for domain in domains if domain in mixtures],
    }
    lines = [
        f"| PSNR (dB) | {' | '.join(methods)} |",
        f"| --- |{' --- |' * len(methods)}",
    ]
    for title, group in groups.items():
        rows = [[domain] for domain in group] + ([group] if group else [])
        for row in rows:
            name = f"**mean of {title}**" if row is group else row[0]
            cells = [_cell(means[method], row, method == INPUT) for method in methods]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    seeds = max((len(values) for m in methods[1:] for values in means[m].values()), default=0)
    lines += ["", f"Seeds that all have finished: {seeds}"]
    return "\n".join(lines) + "\n"


def _cell(rows: Mapping[str, Sequence[float]], domains: Sequence[str], is_input: bool) -> str:
    """Mean over the domains for each seed, then mean and spread over the seeds."""
    if any(domain not in rows for domain in domains):
        return ""
    each = np.mean([rows[domain] for domain in domains], axis=0)  # (seeds,)
    if is_input or len(each) < 2:
        return f"{np.mean(each):.2f}"
    return f"{np.mean(each):.2f} ± {np.std(each, ddof=1):.2f}"
