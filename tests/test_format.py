"""docs/format.md is enough to read a recording: a few lines of h5py alone agree."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import actscope
from make_recording import arrays, image

KEPT = sorted((Path(__file__).parent / "data").glob("recording-*.h5"))


def read(path):
    """A reader written from docs/format.md: `{(path, call, index): array}`."""
    found = {}
    with h5py.File(path, "r") as file:
        assert file.attrs["encoding-type"] == "actscope"
        assert file.attrs["encoding-version"].split(".")[0] == "1"
        rows = file["rows"][0]
        for group in file["layers"].values():
            for dataset in group.values():
                if dataset.attrs.get("encoding-type") == "activation":
                    key = (group.attrs["path"], dataset.attrs["call"], dataset.attrs["index"])
                    found[tuple(map(str, key))] = dataset[:rows]
    return found


def agrees_with_actscope(path):
    by_hand = read(path)
    recording = actscope.open(path)
    opened = {
        (output.path, str(output.call), str(output.index)): output[:]
        for name in recording
        for output in recording.outputs(name)
    }
    assert opened.keys() == by_hand.keys()
    for key, array in by_hand.items():
        np.testing.assert_array_equal(opened[key], array)


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
