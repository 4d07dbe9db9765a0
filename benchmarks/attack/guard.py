"""The checks that every case of an attack goes through."""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

SECONDS = 300.0
"""A case that lasts longer hangs, on a computer that is not busy; most take milliseconds."""

MEMORY = 4 * 2**30
"""Bytes that a case may ask for; what asks for more is told that there is none."""

FORBIDDEN = {
    "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect",
    "socket.getaddrinfo",
}  # fmt: skip
"""Audit events that no array, file or weights may cause."""

DANGEROUS = {"os", "posix", "nt", "subprocess", "shutil", "runpy", "socket", "webbrowser"}
"""Modules that no pickle may name; dask pickles its own graphs, which is no harm."""


class Broken(AssertionError):
    """A promise that was not kept."""


class Hangs(BaseException):
    """The time is over; no `except Exception` swallows it."""


_armed = False
_events: list[str] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    named = event == "pickle.find_class" and arguments[0] in DANGEROUS
    if _armed and (named or event in FORBIDDEN):
        _events.append(f"{event} {str(arguments)[:200]}")


def _time_is_over(signal_number: int, frame: FrameType | None) -> None:
    raise Hangs(f"after {SECONDS:.0f} s")


@cache
def _hook() -> None:
    """Listen to what the interpreter does, for good: such hooks cannot be taken away."""
    sys.addaudithook(_audit)


@contextlib.contextmanager
def watched(seconds: float = SECONDS) -> Iterator[None]:
    """Watch a block: it ends in time, takes little memory, and runs and fetches nothing.

    Raises
    ------
    Broken
        If it does.
    """
    global _armed
    if _armed:  # one watch is enough, and a forked process has to leave that of its parent alone
        yield
        return
    _hook()
    _events.clear()
    seconds *= max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    before = signal.signal(signal.SIGALRM, _time_is_over)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    # For loops outside of Python.
    faulthandler.dump_traceback_later(3 * seconds, exit=True, file=sys.__stderr__)
    memory = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, memory[1]))
    _armed = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ResourceWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except Hangs as error:
        raise Broken("it hangs") from error
    finally:
        _armed = False
        resource.setrlimit(resource.RLIMIT_AS, memory)
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()
    if _events:
        raise Broken(f"it did what no file may: {_events}")


def snapshot(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder, by its place."""
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def require(claim: bool, what: str) -> None:
    """Raise `Broken` where a claim is false."""
    if not claim:
        raise Broken(what)


def require_unchanged(folder: Path, before: dict[str, str], *, new: str = "") -> None:
    """Make sure that files are what they were; only below `new` may there be others.

    Raises
    ------
    Broken
        Naming what is lost, changed, left over or new.
    """
    after = snapshot(folder)
    lost = [name for name, digest in before.items() if after.get(name) != digest]
    require(not lost, f"lost or changed: {lost}")
    parts = [str(path.relative_to(folder)) for path in folder.rglob("*.part")]
    require(not parts, f"left over: {parts}")
    others = [name for name in after if name not in before and not (new and name.startswith(new))]
    require(not others, f"new: {others}")
