"""Models for other programs: the same numbers under onnxruntime, under bioimageio.core, and under torch alone."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anneal import cli
from napari_anneal.errors import InputError, OutputError
from napari_anneal.inference import load_model
from napari_anneal.inference.export import FORMATS, PackageDetails, bioimageio_package, onnx_file, optional
from napari_anneal.inference.export.exported import Exportable
from napari_anneal.inference.export.graph import AveragePoolTo, ExportedNetwork, PercentileScale
from napari_anneal.models import ArchitectureSpec, BundleCard, build_network, save_bundle
from napari_anneal.samples.normalisation import intensity_range, standardise

TEMPERATURE = 1.7
NAME = {"onnx": "model.onnx", "bioimageio": "package", "folder": "folder"}


@pytest.fixture(scope="module")
def bundle(make_model, tmp_path_factory):
    """A bundle with a temperature, a pixel size, and a sample that is a picture and not noise."""
    model = make_model().calibrated(TEMPERATURE)
    card = model.card.model_copy(update={"name": "γ′ phases", "spacing": (0.5, 0.25), "metrics": {"dice": {"a": 0.9}}})
    rows, columns = np.mgrid[:96, :80]
    example = (np.sin(rows / 7) + np.cos(columns / 5)).astype(np.float32)[np.newaxis, np.newaxis]
    return save_bundle(model.network, card, tmp_path_factory.mktemp("export") / "bundle", example=example)


@pytest.fixture(scope="module")
def model(bundle):
    return load_model(bundle, device="cpu")


@pytest.fixture(scope="module")
def told(bundle, tmp_path_factory):
    """What the terminal says of an export to ONNX."""
    out = io.StringIO()
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        cli.main(["export", str(bundle), str(path), "--json"])
    assert not ended.value.code
    lines = out.getvalue().strip().splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


@pytest.fixture(scope="module")
def raw_onnx(model, tmp_path_factory):
    return model.export(tmp_path_factory.mktemp("raw") / "model.onnx", raw=True).path


def run(path, image):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": np.ascontiguousarray(image, dtype=np.float32)})[0]


def metadata(path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


# ONNX


def test_the_onnx_file_gives_the_output_that_the_bundle_stores(bundle, told):
    with np.load(bundle / "sample.npz") as sample:
        # The bundle keeps its output in half precision, and without the temperature.
        logs = np.log(sample["output"].astype(np.float64)) / TEMPERATURE
        expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(run(told["path"], sample["input"]), expected, atol=1e-3)


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 8, 8), (1, 64, 104), (3, 40, 24), (2, 200, 8)])
def test_the_onnx_file_equals_torch_for_any_batch_and_size(model, told, batch, height, width):
    image = np.random.default_rng(batch).standard_normal((batch, 1, height, width)).astype(np.float32)
    with torch.no_grad():
        expected = torch.softmax(model.network.eval()(torch.from_numpy(image)) / TEMPERATURE, dim=1).numpy()
    np.testing.assert_allclose(run(told["path"], image), expected, atol=1e-4)


def test_the_onnx_file_says_what_it_is(bundle, told):
    onnx.checker.check_model(told["path"])
    assert told["files"] == {"model.onnx": Path(told["path"]).stat().st_size}
    found = metadata(told["path"])
    assert json.loads(found["classes"]) == ["class 1", "class 2", "class 3"]
    assert json.loads(found["colours"]) == ["#0072b2", "#e69f00", "#009e73"]
    assert json.loads(found["spacing"]) == [0.5, 0.25]
    assert float(found["temperature"]) == TEMPERATURE
    assert found["name"] == "γ′ phases"
    assert "(grey - p2) / (p98 - p2)" in found["normalisation"]
    assert "Y and X multiples of 8 and at least 8" in found["input"]
    assert found["bundle_sha256"] == hashlib.sha256((bundle / "SHA256SUMS").read_bytes()).hexdigest()
    assert found["weights_sha256"] == hashlib.sha256((bundle / "model.safetensors").read_bytes()).hexdigest()
    (given_,), (gives,) = onnx.load(told["path"]).graph.input, onnx.load(told["path"]).graph.output
    sizes = [[d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim] for one in (given_, gives)]
    assert sizes == [["batch", 1, "8*height", "8*width"], ["batch", 3, "8*height", "8*width"]]


def test_the_onnx_file_tells_nothing_of_the_computer_it_was_made_on(told, raw_onnx):
    for path in (told["path"], raw_onnx):
        content = Path(path).read_bytes()
        for trace in (b"site-packages", b"stack_trace", str(Path.home()).encode() + b"/", b".py"):
            assert trace not in content


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_with_the_scaling_in_the_graph_grey_values_give_what_segmenting_gives(model, raw_onnx, dtype):
    image = (np.random.default_rng(0).gamma(2, 30, (72, 104)) * (200 if dtype == "uint16" else 1)).clip(0, 65535)
    image = image.clip(0, 255).astype(dtype) if dtype == "uint8" else image.astype(dtype)
    expected = model.segment(image, tile=None).probabilities
    np.testing.assert_allclose(run(raw_onnx, image[np.newaxis, np.newaxis])[0], expected, atol=1e-4)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 3),
    st.sampled_from(["gamma", "thin phase", "few values"]),
    st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_the_scaling_in_the_graph_is_that_of_this_package(height, width, channels, kind, seed):
    rng = np.random.default_rng(seed)
    image = {
        "gamma": rng.gamma(2, 100, (height, width, channels)),
        "thin phase": (rng.random((height, width, channels)) < 0.01) * 50.0,  # its two percentiles are one value
        "few values": rng.integers(0, 3, (height, width, channels)).astype(float),
    }[kind].astype(np.float32)
    given_ = torch.from_numpy(np.moveaxis(image, -1, 0)[np.newaxis].copy())
    found = PercentileScale()(torch.cat([given_, given_ * 3 + 1]))
    constant = image.min() == image.max()
    unit = np.zeros_like(image) if constant else intensity_range(image, "YXC").apply(image)
    expected = np.moveaxis(standardise(unit), -1, 0)
    np.testing.assert_allclose(found[0], expected, atol=2e-4)
    np.testing.assert_allclose(found[1], expected, atol=2e-4)


def test_of_a_large_image_the_graph_takes_the_same_pixels():
    image = np.random.default_rng(0).gamma(2, 100, (1100, 1050)).astype(np.float32)
    image[::2, ::2] += 500  # every second pixel is what the limits of images of this size are found in
    expected = standardise(intensity_range(image).apply(image))
    np.testing.assert_allclose(PercentileScale()(torch.from_numpy(image)[None, None])[0, 0], expected, atol=1e-4)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_pooling_by_matrices_equals_adaptive_pooling(height, width, rows, columns):
    features = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))
    expected = torch.nn.AdaptiveAvgPool2d((rows, columns))(features)
    torch.testing.assert_close(AveragePoolTo(rows, columns)(features), expected, atol=1e-5, rtol=1e-5)


EVERY = [
    ("unet", "resnet18", 4), ("unetplusplus", "resnet18", 3), ("manet", "resnet18", 3), ("linknet", "resnet18", 3),
    ("fpn", "resnet18", 5), ("pan", "resnet18", 5), ("pspnet", "resnet18", 3), ("deeplabv3", "resnet18", 5),
    ("deeplabv3plus", "resnet18", 5), ("upernet", "resnet18", 5), ("segformer", "resnet18", 5),
    ("dpt", "vit_tiny_patch16_224", 5), ("unet", "convnext_atto", 4), ("unet", "mobilenetv3_small_050", 5),
]  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize(("decoder", "encoder", "depth"), EVERY)
def test_every_architecture_becomes_onnx(tmp_path, decoder, encoder, depth):
    from napari_anneal.inference import Model

    torch.manual_seed(0)
    spec = ArchitectureSpec(decoder=decoder, encoder=encoder, encoder_depth=depth, n_classes=3)
    model = Model(build_network(spec).eval(), BundleCard(architecture=spec, classes=("a", "b", "c")), device="cpu")
    path = model.export(tmp_path / "model.onnx", softmax=False).path
    smallest = int(metadata(path)["smallest_side"])
    for rows, columns in ((1, 1), (2, 3), (5, 4)):
        image = np.random.default_rng(rows).standard_normal((2, 1, rows * smallest, columns * smallest))
        with torch.no_grad():
            expected = model.network(torch.from_numpy(image.astype(np.float32))).numpy()
        np.testing.assert_allclose(run(path, image), expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_a_conversion_that_changes_the_numbers_is_refused(model, told, tmp_path, monkeypatch):
    def wrong(*_):
        converted = onnx.load(told["path"])
        del converted.metadata_props[:]
        weight = max(converted.graph.initializer, key=lambda one: len(one.raw_data))
        values = onnx.numpy_helper.to_array(weight).copy()
        values.flat[0] += 0.5
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return converted

    monkeypatch.setattr(onnx_file, "_converted", wrong)
    with pytest.raises(OutputError, match=r"differs from the original by .* nothing was written"):
        model.export(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_onnx_cannot_say_is_refused_in_one_line(model, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no such operator\n  pages\n  of traces")

    monkeypatch.setattr(torch.export, "export", fail)
    with pytest.raises(InputError) as error:
        model.export(tmp_path / "model.onnx")
    assert "a unet decoder on encoder 'resnet18' cannot be converted to ONNX (no such operator)" in str(error.value)
    assert "--format folder" in str(error.value)


# A folder for torch alone


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return model.export(tmp_path_factory.mktemp("plain") / "folder", "folder").path


def test_the_readme_of_the_plain_folder_runs_where_this_package_cannot_be_imported(model, folder, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.S)
    image = np.random.default_rng(0).integers(0, 4000, (53, 70), dtype=np.uint16)  # no multiples of the stride
    np.save(tmp_path / "image.npy", image)
    before = "import sys; sys.modules['napari_anneal'] = None\n"
    after = f"\nnp.save({str(tmp_path / 'found.npy')!r}, probabilities(np.load({str(tmp_path / 'image.npy')!r})))"
    done = subprocess.run([sys.executable, "-c", before + code + after], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split(":")[-1]) < 1e-5
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), model.segment(image).probabilities, atol=1e-5)


def test_the_plain_folder_holds_nothing_that_can_run_and_its_digests(folder, model):
    names = {"model.safetensors", "model.json", "sample.npz", "README.md", "SHA256SUMS"}
    assert {file.name for file in folder.iterdir()} == names
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert about["classes"] == list(model.classes)
    assert about["constructor"]["encoder_weights"] is None
    with np.load(folder / "sample.npz", allow_pickle=False) as sample:
        expected = model.segment(sample["image"][0]).probabilities
        np.testing.assert_allclose(sample["probabilities"], expected, atol=1e-5)


def test_a_colour_model_leaves_with_a_colour_sample(make_model, tmp_path):
    model = make_model(in_channels=3)
    path = model.export(tmp_path / "folder", "folder").path
    with np.load(path / "sample.npz") as sample:
        assert sample["image"].shape == (3, 128, 128)
        expected = model.segment(np.moveaxis(sample["image"], 0, -1), axes="YXC").probabilities
        np.testing.assert_allclose(sample["probabilities"], expected, atol=1e-5)
    assert "red, green, blue" in (path / "README.md").read_text(encoding="utf-8")


def test_a_model_of_neighbouring_slices_leaves_with_the_slices_as_channels(make_model, tmp_path):
    from napari_anneal.inference import Model

    model = make_model(in_channels=3)
    model = Model(model.network, model.card.model_copy(update={"context": 3}), device="cpu")
    path = model.export(tmp_path / "folder", "folder").path
    with np.load(path / "sample.npz") as sample:
        expected = model.segment(sample["image"], axes="ZYX", mode="context", probabilities=True).probabilities
        np.testing.assert_allclose(sample["probabilities"], expected[:, 1], atol=1e-5)
    about = json.loads((path / "model.json").read_text(encoding="utf-8"))
    assert about["channels"] == ["slice -1 grey", "slice +0 grey", "slice +1 grey"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_mean_of_several_looks_is_no_network(model, tmp_path, format):
    with pytest.raises(InputError, match="is not one network; export its members one by one"):
        model.turned.export(tmp_path / NAME[format], format)


# A package for the BioImage Model Zoo


@pytest.fixture
def converted(monkeypatch, told):
    """Spare the second conversion of the same network."""
    graph = onnx_file.OnnxGraph(Path(told["path"]).read_bytes(), "image", "probabilities", 8, 8, 0.0)
    monkeypatch.setattr(bioimageio_package, "make_onnx", lambda *_, **__: graph)


def test_the_package_passes_the_test_of_the_zoo_and_predicts_what_segmenting_gives(model, converted, tmp_path):
    from bioimageio.core import create_prediction_pipeline
    from bioimageio.core.digest_spec import create_sample_for_model
    from bioimageio.spec import load_model_description

    about = PackageDetails(authors=("A. Person",), license="CC-BY-4.0", cite=("As in doi:10.1000/182.",))
    export = model.export(tmp_path / "package.zip", "bioimageio", about=about)  # runs bioimageio.core's test
    assert export.notices == ()
    found = load_model_description(export.path, perform_io_checks=False)
    assert [author.name for author in found.authors] == ["A. Person"]
    assert (found.license, found.cite[0].doi) == ("CC-BY-4.0", "10.1000/182")
    assert re.fullmatch(r"[A-Za-z0-9_+\- ()]{5,}", found.name)
    assert found.outputs[0].axes[1].channel_names == list(model.classes)
    assert [axis.scale for axis in found.inputs[0].axes[2:]] == [0.5, 0.25]
    image = np.random.default_rng(3).gamma(2, 300, (200, 152)).astype(np.float32)
    sample = create_sample_for_model(found, inputs=image[np.newaxis, np.newaxis])
    pipeline = create_prediction_pipeline(found)
    # As a whole: what is cut into tiles, or padded first, is scaled by other limits than the image's own.
    whole = pipeline.predict_sample_without_blocking(sample, skip_input_padding=True, skip_output_cropping=True)
    (gives,) = whole.members.values()
    expected = model.segment(image, tile=None).probabilities
    np.testing.assert_allclose(np.asarray(gives.data)[0], expected, atol=1e-4)


def test_versions_that_do_not_fit_each_other_are_named_and_leave_nothing(model, converted, tmp_path, monkeypatch):
    from pydantic import TypeAdapter

    # What a later pydantic does to the serializers of the specification.
    monkeypatch.setattr(bioimageio_package, "_described", lambda *_: TypeAdapter(int).validate_python("index_key"))
    with pytest.raises(OutputError, match=r"bioimageio\.spec [\d.]+ cannot describe the model with pydantic [\d.]+"):
        model.export(tmp_path / "package", format="bioimageio")
    assert list(tmp_path.iterdir()) == []


def test_a_package_whose_scaling_is_not_ours_fails_its_test_and_is_not_written(model, converted, tmp_path, monkeypatch):
    right = bioimageio_package._preprocessing

    def wrong(spec):
        scale, *rest = right(spec)
        scale.kwargs.min_percentile = 10
        return [scale, *rest]

    monkeypatch.setattr(bioimageio_package, "_preprocessing", wrong)
    with pytest.raises(OutputError, match=r"did not pass the test of bioimageio\.core .*disagree"):
        model.export(tmp_path / "package", "bioimageio")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"license": "my own"}, "'my own' is not an SPDX licence"),
        ({"cite": ("Person, 2026",)}, "has no DOI and no address"),
        ({"authors": ("a/b",)}, "'a/b' is not the name of an author"),
    ],
)
def test_details_that_the_zoo_refuses_are_refused_in_a_sentence(model, tmp_path, about, says):
    with pytest.raises(InputError, match=says):
        model.export(tmp_path / "package", "bioimageio", about=PackageDetails(**about))


# Bad input, whatever the format


@pytest.mark.parametrize("format", FORMATS)
def test_what_exists_is_never_touched(model, tmp_path, format):
    path = tmp_path / NAME[format]
    path.write_text("precious")
    with pytest.raises(OutputError, match="already exists; choose another name"):
        model.export(path, format)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("m.onnx", {"format": "tensorflow"}, "there is no format 'tensorflow'; choose onnx, bioimageio or folder"),
        ("m.pt", {}, r"an ONNX model is one file; end its name in \.onnx"),
        ("m.zip", {"format": "folder"}, "the folder format is a folder; give a name without .zip"),
        ("m", {"format": "folder", "raw": True}, "options of the onnx format"),
        ("m", {"format": "bioimageio", "softmax": False}, "options of the onnx format"),
        ("m.onnx", {"about": PackageDetails(license="MIT")}, "kept by the bioimageio format only"),
    ],
)
def test_wrong_words_get_a_sentence(model, tmp_path, name, options, says):
    with pytest.raises((InputError, OutputError), match=says):
        model.export(tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("format", "missing"), [("onnx", "onnxscript"), ("bioimageio", "bioimageio.core")])
def test_a_missing_package_is_asked_for(model, tmp_path, monkeypatch, format, missing):
    real = optional._found
    monkeypatch.setattr(optional, "_found", lambda module: module != missing and real(module))
    says = rf"needs {missing}, not installed here; run pip install 'napari-anneal\[export\]'"
    with pytest.raises(InputError, match=says):
        model.export(tmp_path / NAME[format], format)


def test_a_full_disk_leaves_nothing_behind(model, tmp_path, monkeypatch):
    real = Path.write_bytes

    def full(self, content):
        if self.name == "sample.npz":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="the disk is full"):
        model.export(tmp_path / "deep" / "folder", "folder")
    assert list((tmp_path / "deep").iterdir()) == []


def test_exporting_leaves_the_model_as_it_is(make_model, tmp_path):
    model = make_model()
    model.network.train()
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    model.export(tmp_path / "folder", "folder")
    ExportedNetwork(Exportable(model.network, model.card).copy(), model.card)
    assert model.network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.network.parameters())


def test_the_terminal_refuses_in_one_line(bundle, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", str(bundle), str(tmp_path / "model.pt")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip().endswith("an ONNX model is one file; end its name in .onnx.")
