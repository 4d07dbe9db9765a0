"""How far to go from the starting weights to the fine-tuned ones: what is learnt for what is lost.

On the straight line from a network to its fine-tuned self the new skill comes before the old ones
go (WiSE-FT: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

from collections.abc import Generator

from napari_baryir.training.finetune.plan import YOURS
from napari_baryir.training.finetune.tuning import LEAST_GAIN, Run, forgotten
from napari_baryir.training.validation import Scores

SHARES = (0.8, 0.6, 0.45, 0.3)
"""Of the way; tried where all of it forgets too much. With slanted stripes for microscopy-compact,
six tenths had three quarters of the gain and a fifth of the loss."""
PRICE = 5.0
"""dB that the user's images must gain for each dB that old domains lose beyond what is forgiven: a
gain of 4 dB does not pay for 1 dB, one of 13 dB pays for 2."""


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
    assert run.before is not None
    assert run.best is not None
    if not forgotten(run.best, run.before):
        return
    share = run.share
    try:
        for tried in SHARES:
            run.share = tried
            scores = run.measure(run.best_model())
            gain = scores.restored[YOURS] - run.before.restored[YOURS]
            if gain > LEAST_GAIN and worth(scores, run.before) > worth(run.best, run.before):
                share, run.best = tried, scores
            yield tried
    finally:
        run.share = share


def worth(scores: Scores, before: Scores) -> float:
    """Mean PSNR of the user's images, less the price of what was forgotten, dB."""
    return scores.restored[YOURS] - PRICE * forgotten(scores, before)
