# ruff: noqa: E501 (tables with a row per case)
"""Weights, checkpoints, images, recipes and reports that were made to do harm."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attack.bombs import CHECKPOINTS, DEEP, IMAGES
from benchmarks.attack.files import run_command, weights_file, work_folder
from benchmarks.attack.guard import require, snapshot
from benchmarks.attack.rounds import ROUND
from benchmarks.attack.writers import WRITERS

Values = dict[str, Any]


@dataclass(frozen=True)
class WeightsCase:
    """One case; its repr is all that is needed to make it again."""

    kind: str
    """weights, checkpoint, image or text."""
    name: str
    seed: int


def _config(**values: Any) -> Callable[[Values, Values], None]:
    return lambda header, ours: ours["config"].update(values)


def _calibration(**values: Any) -> Callable[[Values, Values], None]:
    return lambda header, ours: ours["calibration"].update(values)


def _ours(**values: Any) -> Callable[[Values, Values], None]:
    return lambda header, ours: ours.update(values)


def _tensors(**values: Any) -> Callable[[Values, Values], None]:
    def change(header: Values, ours: Values) -> None:
        first = next(name for name in header if name != "__metadata__")
        header[first].update(values)

    return change


_CURVE = {"direction": [1e300, -1e300], "inputs": [-1.0, 1.0], "errors": [0.0, 0.9]}

WEIGHTS: dict[str, Callable[[Values, Values], None]] = {
    "huge width": _config(width=2**62),
    "wide": _config(width=10**6),
    "negative width": _config(width=-1),
    "all blocks": _config(encoder_blocks=[64] * 3, decoder_blocks=[64] * 3, barycenter_blocks=64),
    "huge filters": _config(kernel_bank=64, kernel_size=10**9 + 1),
    "large scene": _config(scene=1024),
    "another backbone": lambda header, ours: ours.update(config={"backbone": "restormer"}),
    "restormer without size": lambda header, ours: ours.update(
        config={"backbone": "restormer", "expansion": 1e300, "heads": [7, 7, 7, 7]}
    ),
    "unknown backbone": _config(backbone="os.system"),
    "config is deep": lambda header, ours: ours.update(config={"width": json.loads("[" * 90 + "]" * 90)}),
    "100,000 domains": _ours(domains=[str(i) for i in range(100_000)]),
    "domains that clear the screen": _ours(domains=["\x1b[2J", "\r\n", "clean"]),
    "domains alike": _ours(domains=["noise"] * 3),
    "no domains": _ours(domains=[]),
    "another format": _ours(format=2),
    "unknown key": _ours(code="import os"),
    "calibration is text": _ours(calibration={"domains": "x"}),
    "no calibration": _ours(calibration={}),
    "window of a billion": _calibration(window=10**9 + 1),
    "window of 10^30": _calibration(window=10**30 + 1),
    "cold calibration": _calibration(temperature=1e-300),
    "far prototypes": _calibration(prototypes=[[1e300, 0], [0, -1e300], [0, 0]]),
    "short prototypes": _calibration(prototypes=[[0.0]] * 3),
    "heavy tail": _calibration(tail=1e-300),
    "huge offsets": _calibration(offsets=[1e308, -1e308, 1e308]),
    "narrow width": _calibration(unknown_width=1e-300, unknown_distance=1e300),
    "steep severity": _calibration(severity=[_CURVE, _CURVE]),
    "other domains": _calibration(domains=["a", "b", "clean"]),
    "title that clears the screen": _ours(provenance={"title": "\x1b[2J\n\n", "image_kind": [1]}),
    "long title": _ours(provenance={"title": "x" * 10**6, "summary": None, "licence": {}}),
    "offsets behind the end": _tensors(data_offsets=[0, 2**40]),
    "offsets backwards": _tensors(data_offsets=[100, 0]),
    "another type": _tensors(dtype="I64"),
    "unknown type": _tensors(dtype="X9"),
    "another shape": _tensors(shape=[1]),
    "negative shape": _tensors(shape=[-1]),
    "shape of 2^70": _tensors(shape=[2**35, 2**35]),
    "odd metadata": lambda header, ours: header.update(extra=7),
}  # fmt: skip

RAW: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "length of 2^63": lambda data, rng: struct.pack("<Q", 2**63) + data[8:],
    "length beyond": lambda data, rng: struct.pack("<Q", len(data)) + data[8:],
    "deep header": lambda data, rng: struct.pack("<Q", len(DEEP)) + DEEP.encode(),
    "cut off": lambda data, rng: data[: int(rng.integers(len(data)))],
    "nothing": lambda data, rng: b"",
    "NaN": lambda data, rng: data[:-4000] + b"\xff" * 4000,
    "flipped": lambda data, rng: data[:9] + bytes([data[9] ^ 4]) + data[10:],
    "noise": lambda data, rng: rng.bytes(5000),
}
"""Changes to the bytes of a weights file."""

TEXTS: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "deep report": ("r.json", DEEP.encode(), ("restore", "in", "-o", "out/", "--report", "r.json")),
    "odd report": ("r.json", b'[{"result": []}]', ("restore", "in", "-o", "out/", "--report", "r.json")),
    "report of numbers": ("r.json", b"7", ("restore", "in", "-o", "out/", "--report", "r.json")),
    "deep recipe": ("r.toml", b"a = " + DEEP.encode(), ("train", "r.toml")),
    "recipe of bytes": ("r.toml", bytes(range(256)), ("train", "r.toml")),
    "empty recipe": ("r.toml", b"", ("train", "r.toml")),
    "deep override": ("r.toml", b"", ("train", "smoke", "steps=" + DEEP)),
    "recipe that goes up": ("r.toml", b"", ("train", "smoke", "name='../../sprung'")),
    "recipe of numbers": ("r.toml", b"name = 7\nsteps = nan", ("train", "r.toml")),
    "steps without end": ("r.toml", b"", ("train", "smoke", "steps=1e400", "output=o")),
    "no data": ("r.toml", b"", ("train", "smoke", "data.train=/nobody", "output=o")),
    "weights as images": ("r.toml", b"", ("train", "smoke", "data.train=in", "data.validation=in", "data.batch={}", "output=o")),
}  # fmt: skip
"""Name to a file, its content, and the command that reads it."""

KINDS = {"weights": [*WEIGHTS, *RAW], "checkpoint": list(CHECKPOINTS), "image": list(IMAGES),
         "text": list(TEXTS)}  # fmt: skip

ALL = sorted(
    (WeightsCase(kind, name, 0) for kind, names in KINDS.items() for name in names),
    key=lambda case: (case.name, case.kind),
)
"""Every case, the kinds mixed."""


def cases_of(number: int, count: int) -> list[WeightsCase]:
    """Return the cases of a round: one after the other, so that none is left out."""
    start = number * ROUND
    chosen = (ALL[(start + i) % len(ALL)] for i in range(count))
    return [replace(case, seed=number) for case in chosen]


def attack_weights(case: WeightsCase) -> None:
    """Give what was made to do harm to each command that reads it, and check all promises."""
    rng = np.random.default_rng(case.seed)
    with work_folder() as folder:
        work = folder / "work"
        (work / "in").mkdir(parents=True)
        os.chdir(work)
        WRITERS[".png"]["RGB"](Path("in/sound.png"), rng)
        for words in _commands(case, rng):
            before = snapshot(folder)
            code, out, _ = run_command(list(words))
            require(not any(not c.isprintable() for c in out if c not in "\n\t"), "odd characters")
            after = snapshot(folder)
            lost = [name for name, digest in before.items() if after.get(name) != digest]
            require(not lost, f"lost or changed: {lost}")
            made = [name for name in after if name not in before]
            require(all(name.startswith("work/") for name in made), f"writes outside: {made}")
            require(not any("sprung" in name for name in made), "it was executed")
            require(not list(folder.rglob("*.part")), "parts are left over")
            if code == 0 and case.kind == "image" and words[0] == "restore":
                require(bool(made), "says it is done and writes nothing")


def _commands(case: WeightsCase, rng: np.random.Generator) -> list[list[str]]:
    """Write the file of a case in the working folder, and return the commands to run."""
    sound = ["--model", str(weights_file()), "--device", "cpu"]
    if case.kind == "checkpoint":
        CHECKPOINTS[case.name](Path("w.pth"), rng)
        return [["import-weights", "w.pth", "-o", "w.safetensors"]]
    if case.kind == "image":
        suffix, make = IMAGES[case.name]
        make(Path(f"in/odd{suffix}"), rng)
        more = ["--tile", "64", "--overlap", "8"]
        return [
            ["restore", f"in/odd{suffix}", "-o", "out/", *sound, *more],
            ["estimate", "in", "-o", "table.csv", *sound, *more],
        ]
    if case.kind == "text":
        name, content, words = TEXTS[case.name]
        Path(name).write_bytes(content)
        return [[*words, *sound] if words[0] == "restore" else list(words)]
    models = Path(os.environ["NAPARI_BARYIR_MODELS"])
    shutil.rmtree(models, ignore_errors=True)
    models.mkdir()
    path = models / "odd.safetensors"
    path.write_bytes(_weights(case, rng))
    odd = ["--model", "odd", "--device", "cpu"]
    return [
        ["models"],
        ["restore", "in/sound.png", "-o", "out/", *odd],
        ["estimate", "in/sound.png", "-o", "table.json", *odd],
        ["import-weights", str(path), "-o", "again.safetensors"],
    ]


def _weights(case: WeightsCase, rng: np.random.Generator) -> bytes:
    data = weights_file().read_bytes()
    if case.name in RAW:
        return RAW[case.name](data, rng)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    ours = json.loads(header["__metadata__"]["napari_baryir"])
    WEIGHTS[case.name](header, ours)
    header["__metadata__"]["napari_baryir"] = json.dumps(ours)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]
