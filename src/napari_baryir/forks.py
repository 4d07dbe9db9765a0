"""Make torch and dask work in processes that are forked from one that has computed."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

import torch


def _begin_anew() -> None:
    """Use no threads of the parent: they do not survive a fork, and the child would wait for them.

    OpenMP has them where it uses more than one, and so have the pools of dask, which keeps them
    from one computation to the next.
    """
    torch.set_num_threads(1)
    threaded: Any = sys.modules.get("dask.threaded")
    if threaded is not None:
        threaded.default_pool = None
        threaded.pools.clear()


@cache
def prepare_for_forks() -> None:
    """From now on, processes that are forked from this one begin anew; nothing on Windows."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_begin_anew)
