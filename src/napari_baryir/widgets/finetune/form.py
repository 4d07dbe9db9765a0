"""The job that the controls of the Fine-tune dock ask for; no image is read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_baryir.errors import InputError
from napari_baryir.widgets.dock.controls import read_pixels, set_label, set_shown
from napari_baryir.widgets.finetune.choices import (
    FROM_LAYERS,
    free_name,
    has_stopped_run,
    weights_path,
)
from napari_baryir.widgets.finetune.controls import FinetuneControls
from napari_baryir.widgets.finetune.job import FinetuneJob, Images, Kind
from napari_baryir.widgets.finetune.layers import pair_reason

if TYPE_CHECKING:
    from napari.components import ViewerModel

SIZES = ("batch", "patch")

FIRST: dict[Kind, str] = {"pairs": "degraded", "clean": "clean", "noisy": "noisy"}
"""The images in the first folder, by what the model learns from."""


class FinetuneForm(FinetuneControls):
    """The controls, and the job that they ask for."""

    like_changed = Signal()
    """Another noisy image is to be measured, or none."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self._recall()
        self._follow()
        self.refresh_layers()

    @property
    def images_kind(self) -> Kind:
        """The kind of images that the model learns from."""
        kind: Kind = self.kind.value
        return kind

    @property
    def of_layers(self) -> bool:
        """Whether the images are layers."""
        return bool(self.found_in.value == FROM_LAYERS)

    @property
    def can_resume(self) -> bool:
        """Whether a training of that name was stopped."""
        return has_stopped_run(self.name.value.strip())

    def like_image(self) -> Any:
        """Return the noisy image to be measured, a layer or a path; None if there is none."""
        if not self._measures_noise():
            return None
        if not self.of_layers:
            return self.like_file.value or None
        return self.like.value

    def problem(self) -> str | None:
        """Return why a training cannot start; None if it can."""
        try:
            self._chosen_images()
            path = weights_path(self.name.value)
        except InputError as error:
            reason = str(error)
            return reason[0].upper() + reason[1:] + "."
        if path.exists():
            on = "Resume goes on with it; or choose" if self.can_resume else "Choose"
            return f"There is a model “{path.stem}” already. {on} another name."
        return None

    def job(self, *, resume: bool = False) -> FinetuneJob:
        """Return the job; `InputError` if a control holds a value that is not possible."""
        images, partners = self._chosen_images()
        like = self.like_image()
        return FinetuneJob(
            kind=self.images_kind,
            images=images,
            partners=partners,
            output=weights_path(self.name.value),
            degradation=self.degradation.value if self.images_kind == "clean" else "",
            like=None if like is None else self.layers.image(like),
            model=self.model.value,
            settings=self._settings(),
            resume=resume,
        )

    def _settings(self) -> dict[str, Any]:
        sizes = {name: read_pixels(name, getattr(self, name).value, ("auto",)) for name in SIZES}
        return {
            "steps": self.steps.value,
            "domain": self.domain.value.strip() or None,
            "mode": self.mode.value,
            "device": self.device.value,
            "validate_every": self.validate_every.value,
            "brightness": self.brightness.value,
            "turn": self.turn.value,
            **({} if self.calibrate.value else {"calibration_scenes": 0}),
            **{name: value for name, value in sizes.items() if value != "auto"},
        }

    def _chosen_images(self) -> tuple[Images, Images | None]:
        kind = self.images_kind
        if not self.of_layers:
            folder = self.folder.folder(FIRST[kind])
            return folder, self.partners_folder.folder("clean") if kind == "pairs" else None
        if kind != "pairs":
            chosen = tuple(self.images.value)
            if not chosen:
                raise InputError(self.layers.nothing_chosen())
            return tuple(map(self.layers.image_of, chosen)), None
        pair = (self.degraded.value, self.clean.value)
        first, second = map(self.layers.image_of, pair)
        reason = pair_reason(first, second)
        if pair[0] is pair[1]:
            reason = "the degraded and the clean layer are the same; choose two"
        if reason is not None:
            raise InputError(reason)
        return (first,), (replace(second, axes=first.axes),)

    def refresh_layers(self, event: Any = None) -> None:
        """Offer the layers that are there now."""
        before = self.like.value
        for control in (self.degraded, self.clean, self.images, self.like):
            self.layers.refresh(control)
        if self.degraded.value is self.clean.value:  # no pair was chosen yet
            self.layers.propose_pair(self.degraded, self.clean)
        if self.like.value is not before:
            self.like_changed.emit()
        self._on_control()

    def propose_name(self) -> None:
        """Propose a name that is free, after the one that was used."""
        self.name.value = free_name(self.name.value.strip())

    def _follow(self) -> None:
        super()._follow()
        for control in (
            self.kind, self.found_in, self.degraded, self.clean, self.images, self.folder,
            self.partners_folder, self.name,
        ):  # fmt: skip
            control.changed.connect(self._on_control)
        for control in (self.kind, self.found_in, self.degradation, self.like, self.like_file):
            control.changed.connect(self._on_like)

    def _on_model(self) -> None:
        super()._on_model()
        before = self.degradation.value
        self.degradation.reset_choices()
        if before in self.degradation.choices:
            self.degradation.value = before

    def _on_like(self) -> None:
        self._adapt()
        self.like_changed.emit()

    def _on_control(self) -> None:
        self._adapt()
        self.changed.emit()

    def _measures_noise(self) -> bool:
        return self.images_kind == "clean" and str(self.degradation.value).endswith(":noise")

    def _adapt(self) -> None:
        """Show the controls that mean something now."""
        kind, layers = self.images_kind, self.of_layers
        pairs = kind == "pairs"
        set_shown(self.degraded, layers and pairs)
        set_shown(self.clean, layers and pairs)
        set_shown(self.images, layers and not pairs)
        set_shown(self.folder, not layers)
        set_label(self.folder, FIRST[kind])
        set_shown(self.partners_folder, not layers and pairs)
        set_shown(self.degradation, kind == "clean")
        set_shown(self.like, layers and self._measures_noise())
        set_shown(self.like_file, not layers and self._measures_noise())
        set_shown(self.brightness, pairs)
        set_shown(self.turn, pairs)
