import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

import actscope
from actscope.errors import ActscopeError, FormatError, MissingFileError, UnknownLayerError
from actscope.store import contiguous, schema
from actscope.store.opened import OpenedFile
from actscope.store.reader import open_recording
from actscope.store.writer import Writer
from hostile_files import without_summaries
from recordings import Example, output_info


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    example = Example(tmp_path_factory.mktemp("reader") / "run.h5")
    example.write()
    return example


def test_a_recording_is_a_mapping_in_the_order_of_execution(finished):
    recording = open_recording(finished.path)
    assert list(recording) == ["conv2d", "block/dense", "tokens"]
    assert len(recording) == 3
    assert "conv2d" in recording
    assert recording.samples == 12
    assert recording.complete
    assert recording.ids == finished.ids
    np.testing.assert_array_equal(recording.labels, finished.labels)
    assert recording.provenance == {"backend": "none"}
    assert repr(recording) == "<Recording run.h5: 12 samples, 3 layers>"


def test_a_layer_tells_what_it_is(finished):
    layer = open_recording(finished.path)["conv2d"]
    assert layer.shape == (12, 6, 6, 4)
    assert layer.dims == ("sample", "y", "x", "channel")
    assert layer.dtype == np.float32
    assert layer.class_name == "Conv2D"
    assert layer.nbytes == 12 * 6 * 6 * 4 * 4
    assert len(layer) == 12
    assert layer.ndim == 4
    assert "conv2d" in repr(layer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_basic_index_means_what_it_means_to_numpy(finished, data):
    layer, array = open_recording(finished.path)["conv2d"], finished.arrays["conv2d"]
    index = data.draw(hypothesis_numpy.basic_indices(array.shape, allow_newaxis=True))
    taken = layer[index]
    np.testing.assert_array_equal(taken, array[index])
    assert type(taken) in (np.ndarray, np.float32)


@pytest.mark.parametrize(
    "index", [[3, 1, 1], np.array([True, False] * 6), (slice(None), [0, 2]), ([1, 2], 0, 0, [3, 1])]
)
def test_lists_and_masks_index_as_in_numpy(finished, index):
    layer, array = open_recording(finished.path)["conv2d"], finished.arrays["conv2d"]
    np.testing.assert_array_equal(layer[index], array[index])


def test_it_is_an_array_and_can_be_iterated(finished):
    layer, array = open_recording(finished.path)["block/dense"], finished.arrays["block/dense"]
    np.testing.assert_array_equal(np.asarray(layer), array)
    assert np.asarray(layer, np.float64).dtype == np.float64
    np.testing.assert_array_equal(np.stack(list(layer)), array)
    with pytest.raises(IndexError):
        layer[12]


def test_what_comes_out_can_be_changed_without_changing_the_file(finished):
    recording = open_recording(finished.path)
    before = finished.path.read_bytes()
    taken = recording["conv2d"][0:3]
    taken[:] = 7
    assert finished.path.read_bytes() == before


def test_inputs_come_back(finished):
    (stored,) = open_recording(finished.path).inputs
    assert stored.name == "image"
    assert stored.dims == ("sample", "y", "x", "channel")
    np.testing.assert_array_equal(stored[:], finished.input)


def test_uncommitted_rows_are_not_there(example):
    example.write(upto=7)
    recording = open_recording(example.path)
    assert (recording.samples, recording.planned, recording.complete) == (7, 12, False)
    assert recording["conv2d"].shape[0] == 7
    assert len(recording.ids) == len(recording.labels) == 7
    np.testing.assert_array_equal(recording["conv2d"][-1], example.arrays["conv2d"][6])
    assert "7 of 12 samples" in repr(recording)


def test_low_precision_and_bool_outputs_widen(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.random.default_rng(1).normal(size=(6, 4)).astype(ml_dtypes.bfloat16)
    mask = np.array([[True, False]] * 6)
    tensors, groups = schema.plan_layers(
        [output_info("low", (4,), 0, "bfloat16"), output_info("mask", (2,), 1, "bool")]
    )
    path = tmp_path / "low.h5"
    with Writer(path, schema.RecordingPlan(6, tuple(tensors), groups, "{}")) as out:
        out.append([values.view(np.uint16), mask.view(np.uint8)])
        out.commit()
    recording = open_recording(path)
    assert recording["low"].logical_dtype == "bfloat16"
    assert recording["low"].dtype == np.float32
    np.testing.assert_array_equal(recording["low"][1:5], values[1:5].astype(np.float32))
    np.testing.assert_array_equal(recording["mask"][:], mask)
    assert recording["low"][2, 1] == np.float32(values[2, 1])


def test_all_outputs_of_a_layer(tmp_path):
    outputs = [
        output_info("shared", (2,), 0),
        output_info("shared", (2,), 1, call=1),
        output_info("both", (2,), 2, key="a"),
        output_info("both", (3,), 3, index=1, key="b"),
    ]
    tensors, groups = schema.plan_layers(outputs)
    path = tmp_path / "several.h5"
    with Writer(path, schema.RecordingPlan(1, tuple(tensors), groups, "{}")) as out:
        out.append([np.full((1, n), k, np.float32) for k, n in enumerate((2, 2, 2, 3))])
        out.commit()
    recording = open_recording(path)
    assert list(recording) == ["shared", "both"]
    assert [(o.call, o.index) for o in recording["shared"].outputs] == [(0, 0), (1, 0)]
    assert [o[0, 0] for o in recording["shared"].outputs] == [0, 1]
    assert [o.key for o in recording["both"].outputs] == ["a", "b"]
    assert recording["both"].outputs[1].name == "both[b]"


def test_unknown_layers_are_named_with_the_nearest(finished):
    with pytest.raises(UnknownLayerError, match=r"no layer 'conv2'.*did you mean 'conv2d'"):
        open_recording(finished.path)["conv2"]


def test_a_closed_recording_refuses_to_read(finished):
    with open_recording(finished.path) as recording:
        layer = recording["conv2d"]
    with pytest.raises(ActscopeError, match="closed"):
        layer[0]


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        open_recording(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    with pytest.raises(FormatError, match="not an actscope recording"):
        open_recording(tmp_path / "text.h5")
    with pytest.raises(FormatError, match="is a folder"):
        open_recording(tmp_path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1]
    with pytest.raises(FormatError, match="HDF5 file but not an actscope recording"):
        open_recording(tmp_path / "other.h5")


def damage(path, change):
    with h5py.File(path, "r+") as file:
        without_summaries(file)
        change(file)


def replace_with(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


DAMAGES = {
    "newer version": (lambda f: f.attrs.__setitem__("encoding-version", "9.0.0"), "newer than"),
    "no version": (lambda f: f.attrs.__delitem__("encoding-version"), "is missing"),
    "version is a number": (lambda f: f.attrs.__setitem__("encoding-version", 1), "not one text"),
    "provenance is no JSON": (lambda f: f.attrs.__setitem__("provenance", "{"), "not JSON"),
    "negative rows": (lambda f: f["rows"].__setitem__(0, -1), "is -1, not between"),
    "too many rows": (lambda f: f["rows"].__setitem__(0, 13), "is 13, not between"),
    "no layers": (lambda f: f.__delitem__("layers"), "layers is missing"),
    "no path": (lambda f: f["layers/conv2d"].attrs.__delitem__("path"), "'path'.*is missing"),
    "external link": (
        replace_with("layers/conv2d", h5py.ExternalLink("/etc/passwd", "/")),
        "ExternalLink, which is not followed",
    ),
    "soft link": (replace_with("layers/conv2d", h5py.SoftLink("/samples")), "SoftLink"),
    "wrong length": (replace_with("sample", np.arange(5)), "rows where /sample has 5|not between"),
    "wrong axes": (
        lambda f: f["layers/conv2d/output"].attrs.__setitem__("axes", ["sample", "y"]),
        "4 axes and names",
    ),
    "wrong dtype": (
        lambda f: f["layers/conv2d/output"].attrs.__setitem__("dtype", "int8"),
        "is stored as float32",
    ),
    "unknown dtype": (
        lambda f: f["layers/conv2d/output"].attrs.__setitem__("dtype", "object"),
        "dtype 'object'",
    ),
    "a group where a dataset belongs": (
        lambda f: f.__delitem__("rows") or f.create_group("rows"),
        "rows is a Group, not a Dataset",
    ),
}


def test_a_summary_that_says_other_than_the_attributes_is_found(example):
    with h5py.File(example.write(), "r+") as file:
        file["layers/conv2d/output"].attrs["order"] = 7
    findings = actscope.verify(example.path)
    assert [finding.place for finding in findings] == ["/layers/conv2d"]
    assert "its summary is not what its attributes say" in findings[0].problem


@pytest.mark.parametrize("summarised", [True, False])
def test_a_recording_reads_the_same_with_and_without_summaries(example, summarised):
    example.write()
    if not summarised:
        damage(example.path, lambda file: None)
    recording = open_recording(example.path)
    for order, (name, array) in enumerate(example.arrays.items()):
        layer = recording[name]
        assert (layer.order, layer.class_name, layer.unreduced_shape) == (
            order,
            "Conv2D",
            array.shape[1:],
        )
        np.testing.assert_array_equal(layer[:], array)


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_files_say_what_and_where(example, what):
    change, message = DAMAGES[what]
    damage(example.write(), change)
    with pytest.raises(FormatError, match=message):
        open_recording(example.path)


def test_virtual_external_and_huge_datasets_are_refused(example, tmp_path):
    def virtual(file):
        del file["layers/conv2d/output"]
        layout = h5py.VirtualLayout((12, 6, 6, 4), "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (12, 6, 6, 4))
        dataset = file["layers/conv2d"].create_virtual_dataset("output", layout)
        dataset.attrs["axes"] = ["sample", "y", "x", "channel"]

    damage(example.write(), virtual)
    with pytest.raises(FormatError, match="from other files"):
        open_recording(example.path)


def test_a_declared_size_that_is_not_there_is_refused(example):
    def huge(file):
        del file["sample"]
        file.create_dataset("sample", (2**40,), "i8")

    damage(example.write(), huge)
    with pytest.raises(FormatError, match=r"declares 8,796,093,022,208 bytes"):
        open_recording(example.path)


def test_a_truncated_file_is_refused_at_every_length(example):
    whole = example.write().read_bytes()
    for length in range(0, len(whole), 512):
        example.path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            open_recording(example.path)


KEYS = [
    *(
        0,
        -1,
        np.int64(3),
        slice(None),
        slice(2, 9),
        slice(9, 2),
        slice(-3, None),
        slice(None, None, 2),
    ),
    *(
        [3, 1, 3],
        np.array([5, 0]),
        (slice(2, 5), 1),
        (slice(None), ..., 2),
        (..., 0),
        np.arange(12) > 7,
    ),
    *((1, 2), slice(4, 4), slice(None, None, -1)),
]


@pytest.mark.parametrize("is_in_memory", [True, False])
@pytest.mark.parametrize("worth", [0, 2000, 10**9])
def test_rows_are_the_same_wherever_they_come_from(example, monkeypatch, is_in_memory, worth):
    monkeypatch.setattr(OpenedFile, "is_in_memory", lambda *_: is_in_memory)
    monkeypatch.setattr(contiguous, "WORTH_READING", worth)
    layer = open_recording(example.write())["conv2d"]
    expected = example.arrays["conv2d"]
    for key in KEYS:
        found = layer[key]
        np.testing.assert_array_equal(found, expected[key])
        assert found.shape == expected[key].shape
        assert isinstance(found, np.ndarray)
    with pytest.raises(IndexError):
        layer[12]


def test_what_was_just_written_is_in_memory_and_what_the_system_let_go_is_read(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(bytes(2**20))
    file = OpenedFile(path)
    assert file.is_in_memory(0, 2**20)
    os.fsync(file.descriptor)
    os.posix_fadvise(file.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    values = np.empty(2**20, np.uint8)
    file.read(0, values)  # whether it was let go is the system's affair
    assert not values.any()
    with pytest.raises(FormatError, match="shorter than it was"):
        file.read(5, values)


def test_rows_are_of_the_file_that_was_opened(example, tmp_path):
    recording = open_recording(example.write())
    other = Example(tmp_path / "other.h5")
    other.arrays = {name: array + 1 for name, array in other.arrays.items()}
    other.write().replace(example.path)
    np.testing.assert_array_equal(recording["conv2d"][:], example.arrays["conv2d"])
    np.testing.assert_array_equal(
        open_recording(example.path)["conv2d"][:], example.arrays["conv2d"] + 1
    )


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_many_recordings_can_be_opened_one_after_another(example):
    path = example.write()
    before = open_files()
    for _ in range(20):
        open_recording(path)["conv2d"][:]
    held = open_recording(path)
    held["conv2d"][:]
    held.close()
    held.close()
    assert open_files() <= before + 2
