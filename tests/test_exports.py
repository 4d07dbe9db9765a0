"""Networks in the formats of other programs answer as they do here."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_baryir import cli, restore
from napari_baryir.errors import VersionError
from napari_baryir.exports import onnx_file
from napari_baryir.exports.picture import WholePicture, area_weights
from napari_baryir.imaging import reduction
from napari_baryir.network import BaryIR
from napari_baryir.network.config import GatedConfig
from napari_baryir.network.spectrum import LogSpectrum
from napari_baryir.weights.registry import REGISTRY


@pytest.fixture
def network() -> BaryIR:
    """A small network with all parts, under whose weights every one of them acts."""
    config = GatedConfig(
        width=4, encoder_blocks=(0, 0, 1), barycenter_blocks=1, decoder_blocks=(0, 0, 1), context=1,
        kernel_bank=1, kernel_size=3, spectrum=2, deblurring=1, scene=128, steering=1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BaryIR(config, domains=("noise", "haze", "clean"))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize(("height", "width"), [(64, 96), (83, 40), (16, 155), (40, 128)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_whole_picture_is_restored_as_restore_does(
    network: BaryIR, channels: int, height: int, width: int
) -> None:
    x = onnx_file.picture(1, channels, height, width) * 2.2 - 0.8  # below what networks are shown
    with torch.inference_mode():
        found = WholePicture(network, channels)(torch.from_numpy(x)).numpy()[0]
    image, axes = (x[0, 0], "YX") if channels == 1 else (x[0].transpose(1, 2, 0), "YXS")
    wanted = restore(
        image, axes=axes, model=network, intensity=(0.0, 1.0), tile="whole", device="cpu",
        precision="float32",
    ).image  # fmt: skip
    wanted = wanted[None] if channels == 1 else wanted.transpose(2, 0, 1)
    assert float(np.abs(wanted - x[0]).max()) > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("length", "size"), [(97, 16), (1000, 128), (8, 16)])
def test_areas_are_those_of_the_reduction(length: int, size: int) -> None:
    wanted = reduction.area_weights(length, size)
    np.testing.assert_allclose(area_weights(length, size).numpy(), wanted, rtol=0, atol=1e-6)


def test_exporting_leaves_the_spectrum_as_it_was() -> None:
    image = torch.rand(1, 3, 32, 32)
    wanted = LogSpectrum(1)(image)
    torch.export.export(LogSpectrum(1), (image,))
    assert torch.equal(LogSpectrum(1)(image), wanted)


def test_the_spectrum_adds_nothing_to_weights_files() -> None:
    assert LogSpectrum(1).state_dict() == {}
    with torch.device("meta"):
        assert not any(buffer.is_meta for buffer in LogSpectrum(1).buffers())


def test_a_file_that_differs_is_not_kept(
    network: BaryIR, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SimpleNamespace(  # as torch.onnx makes it
        model=SimpleNamespace(metadata_props={}),
        save=lambda path: path.write_bytes(b"an ONNX file"),
    )
    monkeypatch.setattr(onnx_file, "_converted", lambda whole: made)
    monkeypatch.setattr(onnx_file, "largest_difference", lambda whole, path: float("nan"))
    with pytest.raises(onnx_file.ExportError, match="differs"):
        onnx_file.export_onnx(network, tmp_path / "model.onnx", 3)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(VersionError, match=r"no_such.library.*napari-baryir\[export\]"):
        onnx_file.need("no_such.library")


def test_a_package_describes_a_model_by_its_card_and_not_by_its_folder(tmp_path: Path) -> None:
    from napari_baryir.exports.zoo_package import _document

    shipped = REGISTRY["photo-compact"]
    assert shipped.card_path is not None
    assert _document(shipped, 3).startswith(shipped.card_path.read_text("utf-8").rstrip())
    own = replace(
        shipped, name="own", folder=tmp_path, file="own.safetensors",
        summary=f"Your own model, {tmp_path / 'own.safetensors'}.", licence="unknown",
    )  # fmt: skip
    text = _document(own, 1)
    assert str(tmp_path) not in text
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# own", "## In this package", "## Validation",
    ]  # fmt: skip
    assert "Your own model, own.safetensors." in text


@pytest.mark.parametrize("words", [["-o", "a.zip", "--to", "onnx"], ["-o", "a.pth"]])
def test_a_wrong_name_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "photo-compact", *words]) == cli.FAILED
    assert "name the file *.onnx" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")  # those of the libraries that read packages
@pytest.mark.parametrize("channels", [1, 3])
def test_bioimageio_and_onnxruntime_agree_with_torch(
    network: BaryIR, channels: int, tmp_path: Path
) -> None:
    for library in ("onnx", "onnxscript", "onnxruntime", "bioimageio.core"):
        pytest.importorskip(library, reason=f"{library}, of the extra export, is not installed")
    import onnxruntime

    from napari_baryir.exports.zoo_package import export_package

    path = tmp_path / "package.zip"
    card = REGISTRY["microscopy-compact"]
    if channels == 1:
        card = replace(card, licence="ask the author")
    assert export_package(network, card, path, channels) <= onnx_file.TOLERANCE
    with zipfile.ZipFile(path) as package:
        assert {"README.md", "sample_output.tif", "weights.onnx"} <= set(package.namelist())
        description = package.read("rdf.yaml").decode()
        assert ("license: BSD-3-Clause" in description) == (channels == 3)
        assert "min: 16\n          step: 1\n" in description
        session = onnxruntime.InferenceSession(package.read("weights.onnx"))
    x = onnx_file.picture(3, channels, 48, 200)
    (found,) = session.run(None, {"picture": x})
    with torch.inference_mode():
        wanted = WholePicture(network, channels)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=onnx_file.TOLERANCE)
    assert session.get_modelmeta().custom_metadata_map["domains"] == "noise, haze, clean"
