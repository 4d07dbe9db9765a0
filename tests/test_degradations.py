"""Degradations: seeded, graded, within their range, and true to the physics that they name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage import data

from napari_baryir.domains import CLEAN
from napari_baryir.errors import InputError
from napari_baryir.training.degradations import DEGRADATIONS, degrade
from napari_baryir.training.degradations.fields import convolve, disc_kernel, line_kernel
from napari_baryir.training.degradations.photo import noise_level

ALL = [(profile, domain) for profile, domains in DEGRADATIONS.items() for domain in domains]
Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def photo() -> Array:
    """A photograph, (96, 112, 3)."""
    return (data.astronaut()[:96, 180:292] / 255).astype(np.float32)


@pytest.fixture(scope="module")
def cells() -> Array:
    """Bright discs on a dark ground, (96, 112)."""
    y, x = np.mgrid[:96, :112]
    return (np.hypot(y % 24 - 12, x % 28 - 14) < 7).astype(np.float32)


@pytest.fixture
def clean_of(photo: Array, cells: Array) -> dict[str, Array]:
    """Profile to a clean image for it."""
    return {"photo": photo, "microscopy": cells}


@pytest.mark.parametrize(("profile", "domain"), ALL)
@pytest.mark.parametrize("level", [None, 0.0, 0.5, 1.0])
def test_the_same_seed_degrades_the_same(
    clean_of: dict[str, Array], profile: str, domain: str, level: float | None
) -> None:
    clean = clean_of[profile]
    before = clean.copy()
    first, second, *others = (
        degrade(clean, domain, np.random.default_rng(seed), profile=profile, level=level)
        for seed in (5, 5, 6, 7, 8, 9)
    )
    np.testing.assert_array_equal(first.image, second.image)
    assert first.level == second.level
    assert not all(np.array_equal(first.image, other.image) for other in others)
    np.testing.assert_array_equal(clean, before)


@pytest.mark.parametrize(("profile", "domain"), ALL)
def test_a_higher_level_does_more_harm(
    clean_of: dict[str, Array], profile: str, domain: str
) -> None:
    clean = clean_of[profile]

    def harm(level: float) -> float:
        errors = [
            np.mean(
                np.square(
                    degrade(
                        clean, domain, np.random.default_rng(s), profile=profile, level=level
                    ).image
                    - clean
                )
            )
            for s in range(8)
        ]
        return float(np.mean(errors))

    assert 0 < harm(0) < harm(0.5) < harm(1)


@settings(max_examples=25)
@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    seed=st.integers(0, 2**32),
    case=st.sampled_from(ALL),
)
def test_shape_and_type_are_kept_and_values_finite(
    height: int, width: int, seed: int, case: tuple[str, str]
) -> None:
    profile, domain = case
    rng = np.random.default_rng(seed)
    shape = (height, width, 3) if profile == "photo" else (height, width)
    clean = rng.random(shape, dtype=np.float32)
    degraded = degrade(clean, domain, rng, profile=profile)
    assert degraded.image.shape == shape
    assert degraded.image.dtype == np.float32
    assert np.isfinite(degraded.image).all()
    assert 0 <= degraded.level <= 1


@pytest.mark.parametrize("domain", DEGRADATIONS["photo"])
def test_degraded_photographs_are_eight_bit_values(photo: Array, domain: str) -> None:
    image = degrade(photo, domain, np.random.default_rng(0)).image * 255
    np.testing.assert_allclose(image, np.rint(image), atol=1e-4)
    assert image.min() >= 0
    assert image.max() <= 255


@pytest.mark.parametrize("profile", DEGRADATIONS)
def test_the_clean_domain_changes_nothing(clean_of: dict[str, Array], profile: str) -> None:
    result = degrade(clean_of[profile], CLEAN, np.random.default_rng(0), profile=profile)
    np.testing.assert_array_equal(result.image, clean_of[profile])
    assert result.level == 0


@pytest.mark.parametrize("sigma", [5, 15, 25, 50])
def test_photographic_noise_has_its_sigma(sigma: float) -> None:
    grey = np.full((200, 200, 3), 0.5, np.float32)
    noisy = degrade(grey, "noise", np.random.default_rng(0), level=noise_level(sigma)).image
    assert 255 * np.std(noisy - grey) == pytest.approx(sigma, rel=0.02)  # a little is clipped at 50
    assert 255 * np.mean(noisy - grey) == pytest.approx(0, abs=0.5)


def test_photon_noise_grows_with_the_root_of_the_signal() -> None:
    bright = np.full((200, 200), 1.0, np.float32)

    def variance(signal: float) -> float:
        rng = np.random.default_rng(0)
        return float(
            degrade(bright * signal, "noise", rng, profile="microscopy", level=1).image.var()
        )

    read = variance(0)
    assert variance(1) - read == pytest.approx(1 / 8, rel=0.05)  # 8 photons at full scale
    assert variance(0.25) - read == pytest.approx(0.25 / 8, rel=0.05)


def test_haze_lies_between_the_image_and_its_airlight(photo: Array) -> None:
    black = degrade(np.zeros_like(photo), "haze", np.random.default_rng(1), level=1).image
    white = degrade(np.ones_like(photo), "haze", np.random.default_rng(1), level=1).image
    transmission = white - black
    assert transmission.min() >= np.exp(-1.8) - 0.01
    hazy = degrade(photo, "haze", np.random.default_rng(1), level=1).image
    np.testing.assert_allclose(hazy, photo * transmission + black, atol=3 / 255)


def test_low_light_never_brightens_beyond_its_exposure(photo: Array) -> None:
    dark = degrade(photo, "low light", np.random.default_rng(0), level=0).image
    assert np.all(dark <= 0.24 * photo + 5.5 * 2.5 / 255)  # no draw of the noise beyond 5 sigma


def test_rain_only_brightens_towards_its_colour(photo: Array) -> None:
    rainy = degrade(photo * 0.5, "rain", np.random.default_rng(0), level=1).image
    assert np.all(rainy >= photo * 0.5 - 1 / 255)


def test_stripes_are_constant_along_their_lines(cells: Array) -> None:
    flat = np.full_like(cells, 0.5)
    for seed in range(4):
        striped = degrade(flat, "stripes", np.random.default_rng(seed), profile="microscopy").image
        assert min(np.ptp(striped, axis=0).max(), np.ptp(striped, axis=1).max()) < 1e-5


@pytest.mark.parametrize("kernel", [disc_kernel(2.3), disc_kernel(4), line_kernel(11, 30, 0.4)])
def test_convolving_agrees_with_sums_over_windows(kernel: Array) -> None:
    image = np.random.default_rng(0).random((16, 19, 3), dtype=np.float32)
    half_y, half_x = (side // 2 for side in kernel.shape)
    margins = ((half_y, half_y), (half_x, half_x), (0, 0))
    padded = np.pad(image.astype(np.float64), margins, mode="symmetric")
    expected = np.zeros(image.shape)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            window = padded[y : y + kernel.shape[0], x : x + kernel.shape[1]]
            expected[y, x] = (window * kernel[::-1, ::-1, None]).sum(axis=(0, 1))
    np.testing.assert_allclose(convolve(image, kernel), expected, atol=1e-5)
    np.testing.assert_allclose(convolve(image[..., 0], kernel), expected[..., 0], atol=1e-5)


@pytest.mark.parametrize("angle", [0, 45, 90, 135])
def test_kernels_sum_to_one_and_are_centred(angle: float) -> None:
    for kernel in (disc_kernel(1.0), disc_kernel(3.7), line_kernel(16, angle, 0.4)):
        assert kernel.sum() == pytest.approx(1, abs=1e-6)
        assert all(side % 2 == 1 for side in kernel.shape)
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)


def test_motion_spreads_over_its_length() -> None:
    for length in (4.0, 9.0, 16.0):
        row = line_kernel(length, 0, 0.4).sum(axis=0)
        x = np.arange(len(row)) - len(row) // 2
        # The variance of a uniform line of that length and half a pixel's rim at either end.
        assert np.sqrt(12 * (row * x**2).sum()) == pytest.approx(length, abs=1.0)


@pytest.mark.parametrize(
    ("image", "domain", "profile", "message"),
    [
        (np.zeros((8, 8, 3)), "noise", "radar", "no degradation profile"),
        (np.zeros((8, 8, 3)), "snow", "photo", "no domain 'snow'"),
        (np.zeros((8, 8)), "noise", "photo", "3 dimensions"),
        (np.zeros((8, 8, 3)), "noise", "microscopy", "2 dimensions"),
    ],
)
def test_what_cannot_be_degraded_is_refused(
    image: Array, domain: str, profile: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        degrade(image.astype(np.float32), domain, np.random.default_rng(0), profile=profile)
