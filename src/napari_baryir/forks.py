"""Make torch work in processes that are forked from one that has computed."""

from __future__ import annotations

import os

import torch

if hasattr(os, "register_at_fork"):
    # OpenMP's threads do not survive a fork: with more than one the child would wait for them.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
