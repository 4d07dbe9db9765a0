"""Planes of lazy maps: computed once, kept as far as there is room, stopped at a tile."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_baryir.widgets.dock import seen
from napari_baryir.widgets.dock.seen import Kept, LazyMap, Stopped, computed
from napari_baryir.widgets.estimate.maps import LazyPlanes

PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(3), (6, 4, 5)).astype(np.float32)
SEVERITY = PROBABILITIES[..., 0]
DOMAINS = ("noise", "clean", "unknown")
PLANE = 4 * 4 * 5 * 4
"""Bytes: severity and three probabilities in float32."""


def planes() -> LazyPlanes:
    chunked = da.from_array(SEVERITY, chunks=(1, 2, 5))
    probabilities = da.from_array(np.moveaxis(PROBABILITIES, -1, 1), chunks=(1, 3, 2, 5))
    return LazyPlanes(chunked, probabilities, DOMAINS)


def shown(made: LazyPlanes) -> LazyMap:
    return LazyMap(made, (0, 1, 2), lambda plane: plane.severity, np.float32, np.nan)


@pytest.mark.parametrize(("room", "kept"), [(3 * PLANE, 3), (2 * PLANE + 1, 2), (1, 2)])
def test_planes_are_kept_as_far_as_their_bytes_allow(
    monkeypatch: pytest.MonkeyPatch, room: int, kept: int
) -> None:
    monkeypatch.setattr(seen, "MOST_BYTES", room)
    made = planes()
    for n in range(6):
        np.testing.assert_allclose(made.get((n,)).severity, SEVERITY[n])
    assert [n for n in range(6) if made.known((n,)) is not None] == list(range(6 - kept, 6))
    assert all(made.summary((n,)) is not None for n in range(6))  # these are small


def test_volume_asks_for_no_more_planes_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "MOST_BYTES", 2 * PLANE)
    made = planes()
    wanted: list[Any] = []
    made.on_wanted = wanted.append
    assert np.isnan(shown(made)[...]).all()
    assert wanted == [(0,), (1,)]
    for place in wanted:
        made.get(place)
    wanted.clear()
    found = shown(made)[...]
    assert wanted == []  # else it would never end
    np.testing.assert_allclose(found[:2], SEVERITY[:2])


def test_check_stops_before_the_next_task() -> None:
    made = planes()
    tasks: list[int] = []

    def check() -> None:
        tasks.append(1)
        if len(tasks) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        made.get((0,), check)
    assert len(tasks) == 2
    assert made.known((0,)) is None
    assert made.get((0,)) is made.known((0,))


def test_parts_of_a_plane_are_computed_together() -> None:
    blocks: list[int] = []

    def counted(block: Any) -> Any:
        blocks.append(1)
        return block

    source = da.from_array(SEVERITY, chunks=(1, 4, 5)).map_blocks(counted, dtype=np.float32)
    both = (source + 1, source * 2)
    made = Kept(lambda plane, check: computed([each[plane] for each in both], check))
    blocks.clear()
    first, second = made.get((3,), lambda: None)
    assert len(blocks) == 1
    np.testing.assert_allclose(first, SEVERITY[3] + 1)
    np.testing.assert_allclose(second, SEVERITY[3] * 2)
