"""How long the GUI thread keeps events waiting, told apart from waiting for a busy computer."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

LIMIT = 0.1
"""Seconds for which the window may stand still."""

IDLER = """
import sys, threading, time
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set())).start()
last = time.perf_counter()
while not over.wait(0.005):
    now = time.perf_counter()
    if now - last > 0.02:
        sys.stdout.write(f"{last} {now}\\n")
    last = now
"""
"""Does nothing, and writes when it had to wait for its turn; perf_counter is the computer's."""


class Clock:
    """Watches the GUI thread while in its ``with`` block; `check` says whether it was blocked.

    A timer of Qt ticks every 5 ms, and between two ticks two things may take at most the limit:

    - what the GUI thread itself computes, by its own processor time, which does not depend on what
      else the computer does;
    - all the time that passes, less what threads of ours waited for a processor (Linux counts
      that; all threads, since the one that holds Python's lock may be the one that waits), or less
      what an idle process had to wait for its turn meanwhile, whichever is more.
    """

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self._ticks: list[tuple[float, float, float]] = []
        self._waits: list[tuple[float, float]] = []
        self._timer = QTimer()
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._tick)

    def __enter__(self) -> Clock:
        assert threading.current_thread() is threading.main_thread()
        pipe = subprocess.PIPE
        self._idler = subprocess.Popen([sys.executable, "-c", IDLER], stdin=pipe, stdout=pipe)
        self._timer.start()
        self._tick()
        return self

    def __exit__(self, *_: Any) -> None:
        self._tick()
        self._timer.stop()
        out, _ = self._idler.communicate()
        for line in out.decode().splitlines():
            start, stop = line.split()
            self._waits.append((float(start), float(stop)))

    def _tick(self) -> None:
        waited = sum(map(_waited, Path("/proc/self/task").glob("*/schedstat")))
        self._ticks.append((time.perf_counter(), time.thread_time(), waited))

    def longest(self) -> tuple[float, float]:
        """Seconds between two ticks, at most: computed by the GUI thread, and blocked."""
        computed = blocked = 0.0
        for before, after in zip(self._ticks, self._ticks[1:], strict=False):
            wall, own, waited = (b - a for a, b in zip(before, after, strict=True))
            computed = max(computed, own)
            elsewhere = sum(
                max(0.0, min(stop, after[0]) - max(start, before[0])) for start, stop in self._waits
            )
            blocked = max(blocked, wall - max(waited, elsewhere))
        return computed, blocked

    def check(self, limit: float = LIMIT) -> None:
        """Fail if the window stood still for more than `limit` seconds."""
        computed, blocked = self.longest()
        told = f"computed for {1000 * computed:.0f} ms, blocked for {1000 * blocked:.0f} ms"
        logging.getLogger(__name__).info("%s; %d ticks", told, len(self._ticks))
        assert len(self._ticks) > 5, "the timer hardly ticked"
        assert computed < limit, told
        assert blocked < limit, told


def own_time() -> float:
    """Seconds on a clock that stands still while this thread waits for a processor."""
    return time.perf_counter() - _waited(Path("/proc/thread-self/schedstat"))


def _waited(counts: Path) -> float:
    """Seconds for which a thread was ready to run and others ran; 0 where nobody counts."""
    try:
        return int(counts.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # not Linux, or a thread that has ended
        return 0.0
