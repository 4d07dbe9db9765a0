"""Keys that hold while the dock is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

TOGGLE = "B"
"""Before and after. Free for image layers; labels and shapes layers have their own B."""


class BoundKeys:
    """Binds keys of a viewer and gives back only what it bound."""

    def __init__(self, viewer: ViewerModel, actions: dict[str, Callable[[], None]]) -> None:
        self._viewer = viewer
        self._actions = actions
        self._bound: dict[str, Any] = {}

    def bind(self) -> None:
        """Bind those keys that nobody else has."""
        for key, action in self._actions.items():
            if key in self._bound:
                continue

            def pressed(viewer: Any, action: Callable[[], None] = action) -> None:
                action()

            try:
                self._viewer.bind_key(key, pressed)
            except ValueError:  # somebody else's; theirs stays
                continue
            self._bound[key] = pressed

    def release(self) -> None:
        """Unbind what is still ours."""
        for key, pressed in self._bound.items():
            found = {str(k): v for k, v in self._viewer.keymap.items()}.get(key)
            if getattr(found, "__wrapped__", found) is pressed or found is pressed:
                self._viewer.bind_key(key, None)
        self._bound.clear()
