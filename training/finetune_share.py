"""How far to go from the starting weights to the fine-tuned ones: what is learnt for what is lost.

On the straight line from a network to its fine-tuned self the new skill comes before the old ones
go (WiSE-FT: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Generator

from napari_baryir.training.finetune_plan import YOURS
from napari_baryir.training.finetune_run import Run, forgotten
from napari_baryir.training.validation import Scores

SHARES = (0.8, 0.6, 0.45, 0.3)
"""Of the way; tried where all of it forgets too much."""
PRICE = 5.0
"""dB that the user's images must gain for each dB that old domains lose beyond what is forgiven."""


def choose_share(run: Run) -> Generator[float, None, None]:
    """Set `Run.share` to the share of the way that is worth most, and `Run.best` to its scores.

    Parameters
    ----------
    run
        That is over, with a best step. Nothing is tried where that forgets little enough.

    Yields
    ------
    float
        Each share once it is measured. Left there, the best so far is set.
    """
    assert run.best is not None
    if not _forgotten(run, run.best):
        return
    share, best = run.share, run.best
    try:
        for run.share in SHARES:
            scores = run.measure(run.best_model())
            if _worth(run, scores) > _worth(run, best):
                share, best = run.share, scores
            yield run.share
    finally:
        run.share, run.best = share, best


def _worth(run: Run, scores: Scores) -> float:
    return scores.restored[YOURS] - PRICE * _forgotten(run, scores)


def _forgotten(run: Run, scores: Scores) -> float:
    assert run.before is not None
    return forgotten(scores, run.before)
