"""The samples: seeded, made without the network, and degraded as they claim."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from scipy import ndimage

from napari_baryir.sample_data import (
    SAMPLES,
    blurred_timelapse,
    fluorescence_stack,
    photo_noise,
)
from napari_baryir.sample_data.fluorescence import GAIN, OFFSET, READ_NOISE


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise AssertionError("a sample tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_seeded_fit_their_axes_and_differ_from_their_truth(name: str) -> None:
    sample, again, other = SAMPLES[name](), SAMPLES[name](), SAMPLES[name](seed=1)
    assert sample.name == name
    assert sample.degraded.shape == sample.clean.shape
    assert sample.degraded.dtype == sample.clean.dtype
    assert sample.degraded.ndim == len(sample.axes)
    span = float(sample.clean.max()) - float(sample.clean.min())
    error = np.sqrt(np.mean((sample.degraded.astype(float) - sample.clean) ** 2)) / span
    assert 0.01 < error < 0.5
    np.testing.assert_array_equal(sample.degraded, again.degraded)
    np.testing.assert_array_equal(sample.clean, again.clean)
    assert np.any(other.degraded != sample.degraded)


def test_photo_noise_has_the_stated_strength() -> None:
    sample = photo_noise()
    middle = (sample.clean > 90) & (sample.clean < 165)  # where clipping is rare
    noise = (sample.degraded.astype(float) - sample.clean)[middle]
    assert noise.std() == pytest.approx(25, rel=0.03)


def test_fluorescence_noise_is_that_of_photons_and_camera() -> None:
    sample = fluorescence_stack(shape=(6, 128, 128))
    noise = sample.degraded.astype(float) - sample.clean
    photons = (sample.clean.astype(float) - OFFSET) / GAIN
    variance = GAIN**2 * (photons.mean() + READ_NOISE**2)
    assert abs(noise.mean()) < 0.1
    assert noise.var() == pytest.approx(variance, rel=0.05)


def test_a_blurred_frame_lacks_the_detail_of_its_truth() -> None:
    sample = blurred_timelapse(shape=(2, 96, 96))
    assert sample.clean.shape == (2, 96, 96)
    edges = [
        ndimage.gaussian_laplace(image[0].astype(float), 1.0)
        for image in (sample.degraded, sample.clean)
    ]
    assert edges[0].var() < 0.55 * edges[1].var()
    means = [image.mean() for image in (sample.degraded, sample.clean)]
    assert means[0] == pytest.approx(means[1], rel=0.03)
