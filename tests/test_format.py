"""docs/format.md is enough to read a recording: a few lines of h5py alone agree."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import actscope
from actscope.store import schema
from actscope.store.writers import open_writer
from document_reader import agrees_with_actscope, read
from make_recording import arrays, image
from numpy_model import Model, extract, rows
from recordings import output_info

KEPT = sorted((Path(__file__).parent / "data").glob("recording-*.h5"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_files_of_every_version_stay_readable(path):
    agrees_with_actscope(path)
    recording = actscope.open(path)
    assert list(recording) == ["conv2d", "block/shared", "low", "mask"]
    expected = arrays()
    np.testing.assert_array_equal(recording["conv2d"][:], expected["conv2d"])
    if path.stem > "recording-1.0.0":
        gradient = recording["conv2d"].gradient
        np.testing.assert_array_equal(gradient[:], expected["conv2d gradient"])
    if path.stem > "recording-1.1.0":
        with h5py.File(path) as file:
            assert file["layers/conv2d/output"].chunks
            kept = file["layers/conv2d/statistics/mean"][:]
        np.testing.assert_allclose(kept, expected["conv2d"].mean((0, 1, 2), dtype=float))
        np.testing.assert_array_equal(recording["conv2d"].statistics.mean, kept)
    np.testing.assert_array_equal(
        recording["block/shared"].outputs[1][:], expected["block/shared:1"]
    )
    np.testing.assert_array_equal(recording["mask"][:], expected["mask"].astype(bool))
    widened = (expected["low"].astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(recording["low"][:], widened)
    np.testing.assert_array_equal(recording.inputs[0][:], image())
    assert recording.ids == ("first", "zweites ü", "third")
    assert list(recording.labels) == [7, 1, 4]


def test_a_fresh_recording_agrees_too(example):
    agrees_with_actscope(example.write())


def test_an_unfinished_one_too(example):
    agrees_with_actscope(example.write(upto=7))


@pytest.mark.parametrize("codec", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("layout", ["sample", "channel"])
def test_recordings_in_chunks_too(example, codec, layout):
    actscope.pack(example.write(), example.path.parent / "packed.h5", codec=codec, layout=layout)
    agrees_with_actscope(example.path.parent / "packed.h5")


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"statistics": True},
        {"store": False},
        {"codec": "gzip", "statistics": True, "labels": range(23)},
    ],
    ids=str,
)
def test_what_extract_makes_too(tmp_path, words):
    extract(Model(), rows(23), tmp_path / "run.h5", **words)
    agrees_with_actscope(tmp_path / "run.h5")


def test_reductions_gradients_and_epochs_too(tmp_path):
    outputs = [
        output_info("conv2d", (4,), 0, reduction="mean", unreduced_shape=(6, 6, 4)),
        output_info("conv2d", (4,), 0, reduction="mean", is_gradient=True),
        output_info("conv2d", (4,), 0, reduction="max", unreduced_shape=(6, 6, 4)),
        output_info("lstm", (5,), 1, index=1, key="state"),
    ]
    tensors, groups = schema.plan_layers(outputs)
    epochs = np.repeat(np.array([1, 2], np.int64), 3)
    plan = schema.RecordingPlan(6, tuple(tensors), groups, "{}", epochs=epochs)
    random = np.random.default_rng(0)
    with open_writer(tmp_path / "run.h5", plan) as writer:
        writer.append([random.random((6, *tensor.shape), np.float32) for tensor in tensors])
        writer.complete()
    agrees_with_actscope(tmp_path / "run.h5")
    assert len(read(tmp_path / "run.h5")) == 5
