"""Run by test_checkpoint: train once undisturbed, and once killed ten times.

``python kill_training.py SEED KEY=VALUE ...`` writes to the folders ``undisturbed`` and ``killed``
in the working directory, and to stdout at which step each run of the second was killed. Runs are
forked, so that PyTorch is imported only once.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time

import torch
import torch._dynamo  # which the first step of an optimiser imports
import torch.utils.tensorboard

from napari_baryir.training.data import load_data
from napari_baryir.training.loop import train
from napari_baryir.training.recipe import load_recipe

KILLS = 10
SOON = 3
"""Steps."""


def begin(output: str, words: list[str]) -> tuple[int, int]:
    """Train in a process of its own: its id, and a pipe with the number of each step done."""
    steps_done, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(write_end)
        return child, steps_done
    code = 1
    try:
        for progress in train(load_recipe("smoke", [*words, f"output={output}"])):
            os.write(write_end, progress.step.to_bytes(4, "little"))
        code = 0
    finally:
        os._exit(code)


def read_step(steps_done: int) -> int | None:
    """Wait for the next step; None: there is none any more."""
    step = os.read(steps_done, 4)
    return int.from_bytes(step, "little") if step else None


def finish(output: str, words: list[str]) -> float:
    """Train to the end; seconds that a step lasts."""
    child, steps_done = begin(output, words)
    times = []
    while read_step(steps_done):
        times.append(time.monotonic())
    os.close(steps_done)
    _, status = os.waitpid(child, 0)
    assert status == 0
    return (times[-1] - times[0]) / max(1, len(times) - 1)


def kill(output: str, words: list[str], step: int, wait: float) -> None:
    """Train, and kill so many seconds after a step, but no later than a few steps after it."""
    child, steps_done = begin(output, words)
    done = read_step(steps_done)
    while done is not None and done < step:
        done = read_step(steps_done)
    end = time.monotonic() + wait
    while done is not None and done < step + SOON:
        if not select.select([steps_done], [], [], max(0.0, end - time.monotonic()))[0]:
            break
        done = read_step(steps_done)
    os.kill(child, signal.SIGKILL)
    os.close(steps_done)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def main(seed: int, words: list[str]) -> None:
    torch.set_num_threads(1)
    recipe = load_recipe("smoke", words)
    load_data(recipe)  # for what it imports
    step_lasts = finish("undisturbed", words)
    moments = random.Random(seed)
    steps = sorted(moments.sample(range(1, recipe.steps - SOON - 2), KILLS))
    for step in steps:
        kill("killed", words, step, moments.uniform(0, 2 * step_lasts))
    finish("killed", words)
    sys.stdout.write(json.dumps(steps))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
