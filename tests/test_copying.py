"""Recordings written anew: packed, and merged."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import actscope
from actscope.dtypes import narrowed, widened
from actscope.errors import DataError, FormatError, MissingFileError, OutputExistsError
from numpy_model import Model, extract, rows
from recordings import Example

ml_dtypes = pytest.importorskip("ml_dtypes")


@pytest.fixture
def finished(tmp_path):
    example = Example(tmp_path / "run.h5", samples=53)
    example.write()
    return example


@pytest.mark.parametrize("layout", ["sample", "channel"])
@pytest.mark.parametrize("codec", ["zstd", "gzip", "none"])
def test_packing_keeps_every_value_and_every_word(finished, tmp_path, codec, layout):
    before = finished.path.read_bytes()
    packed = actscope.pack(finished.path, tmp_path / "small.h5", codec=codec, layout=layout)
    assert finished.path.read_bytes() == before
    original = actscope.open(finished.path)
    assert list(packed) == list(original)
    assert packed.ids == original.ids
    np.testing.assert_array_equal(packed.labels, original.labels)
    np.testing.assert_array_equal(packed.inputs[0][:], finished.input)
    for name, array in finished.arrays.items():
        np.testing.assert_array_equal(packed[name][:], array)
        for word in ("class_name", "order", "call", "index", "key", "data_format", "reduction"):
            assert getattr(packed[name], word) == getattr(original[name], word)
        assert packed[name].dims == original[name].dims
    assert packed.provenance["backend"] == "none"
    assert packed.provenance["packed-from"] == "run.h5"
    assert actscope.verify(tmp_path / "small.h5") == []


def test_statistics_are_kept_of_what_is_stored_anew(tmp_path):
    data = rows(103)
    for place, part in enumerate((data[:50], data[50:])):
        extract(Model(), part, tmp_path / f"{place}.h5", statistics=True)
    joined = actscope.merge([tmp_path / "0.h5", tmp_path / "1.h5"], tmp_path / "all.h5")
    np.testing.assert_allclose(joined["scaled"].statistics.mean, (data * 2).mean(0, dtype=float))
    with h5py.File(tmp_path / "all.h5") as file:
        assert "statistics" in file["layers/scaled"]
    packed = actscope.pack(tmp_path / "all.h5", tmp_path / "small.h5", dtype="float16")
    rounded = (data * 2).astype(np.float16)
    np.testing.assert_array_equal(packed["scaled"].statistics.maximum, rounded.max(0))
    extract(Model(), data, tmp_path / "alone.h5", store=False)
    with pytest.raises(DataError, match="statistics of 'scaled' without its activations"):
        actscope.pack(tmp_path / "alone.h5", tmp_path / "nothing.h5")


def test_packing_there_and_back_gives_the_same_rows(finished, tmp_path):
    actscope.pack(finished.path, tmp_path / "small.h5")
    back = actscope.pack(tmp_path / "small.h5", tmp_path / "back.h5", codec="none")
    with h5py.File(tmp_path / "back.h5") as one, h5py.File(finished.path) as two:
        for place in ("samples/input", "layers/conv2d/output", "layers/tokens/output"):
            assert one[place].chunks is None
            np.testing.assert_array_equal(one[place], two[place])
    assert back.complete


def test_compressed_files_are_smaller(tmp_path):
    example = Example(tmp_path / "run.h5", samples=2000)
    for array in example.arrays.values():
        np.maximum(array, 0, out=array)
    example.write()
    actscope.pack(example.path, tmp_path / "small.h5")
    assert (tmp_path / "small.h5").stat().st_size < 0.7 * example.path.stat().st_size


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_packing_rounds_as_the_dtype_does(finished, tmp_path, dtype):
    packed = actscope.pack(finished.path, tmp_path / "small.h5", dtype=dtype)
    for name, array in finished.arrays.items():
        expected = array.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        np.testing.assert_array_equal(packed[name][:], expected.astype(np.float32))
        assert packed[name].logical_dtype == dtype
    assert packed.inputs[0].logical_dtype == "float32"
    np.testing.assert_array_equal(packed.inputs[0][:], finished.input)


def test_values_too_large_for_float16_are_told_of(tmp_path):
    example = Example(tmp_path / "run.h5")
    example.arrays["block/dense"][3, 2] = 1e6
    example.write()
    with pytest.warns(match="1 values are too large for float16"):
        actscope.pack(example.path, tmp_path / "small.h5", dtype="float16")


@given(st.floats(width=32))
def test_bfloat16_is_rounded_as_by_ml_dtypes(value):
    values = np.array([value], np.float32)
    expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(widened(narrowed(values, "bfloat16"), "bfloat16"), expected)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_is_read_as_by_ml_dtypes(dtype):
    stored = np.arange(256, dtype=np.uint8)
    expected = stored.view(getattr(ml_dtypes, dtype)).astype(np.float32)
    np.testing.assert_array_equal(widened(stored, dtype), expected)


def test_what_is_damaged_or_unfinished_is_not_packed(finished, tmp_path):
    with h5py.File(finished.path, "r+") as file:
        file["layers/conv2d/output"][7] = 1
    with pytest.raises(FormatError, match=r"/layers/conv2d/output.*differ from their checksum"):
        actscope.pack(finished.path, tmp_path / "small.h5")
    part = Example(tmp_path / "part.h5", samples=53)
    part.write(20)
    with pytest.raises(DataError, match="not finished"):
        actscope.pack(part.path, tmp_path / "small.h5")
    assert not (tmp_path / "small.h5").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [({"codec": "lz4"}, "lz4"), ({"dtype": "int8"}, "int8"), ({"layout": "rows"}, "rows")],
)
def test_wrong_words(finished, tmp_path, words, message):
    with pytest.raises(DataError, match=message):
        actscope.pack(finished.path, tmp_path / "small.h5", **words)
    assert list(tmp_path.iterdir()) == [finished.path]


def test_a_recording_is_not_packed_onto_itself(finished):
    before = finished.path.read_bytes()
    with pytest.raises(DataError, match="itself"):
        actscope.pack(finished.path, finished.path, overwrite=True)
    with pytest.raises(DataError, match="one of the recordings"):
        actscope.merge([finished.path, finished.path], finished.path, overwrite=True)
    assert finished.path.read_bytes() == before


@pytest.mark.parametrize("name", [".", "/", "folder"])
def test_a_folder_is_no_output(finished, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputExistsError, match="is a folder: name a file to write"):
        actscope.pack(finished.path, name, overwrite=True)
    with pytest.raises(OutputExistsError, match="is a folder: name a file to write"):
        extract(Model(), rows(5), name)


def test_what_is_not_there_is_said_to_be_missing(finished, tmp_path):
    with pytest.raises(MissingFileError, match=r"nothing\.h5 does not exist"):
        actscope.pack(tmp_path / "nothing.h5", tmp_path / "small.h5")
    with pytest.raises(MissingFileError, match=r"nothing\.h5 does not exist"):
        actscope.merge([finished.path, tmp_path / "nothing.h5"], tmp_path / "all.h5")
    assert list(tmp_path.iterdir()) == [finished.path]


def test_the_same_samples_are_not_joined_with_themselves(tmp_path):
    extract(Model(), rows(50), tmp_path / "a.h5")
    (tmp_path / "link.h5").symlink_to("a.h5")
    for twice in ("a.h5", "link.h5"):
        with pytest.raises(DataError, match=f"{twice} is given twice"):
            actscope.merge([tmp_path / "a.h5", tmp_path / twice], tmp_path / "all.h5")
    extract(Model(), rows(50), tmp_path / "again.h5", codec="zstd")
    with pytest.raises(DataError, match=r"a\.h5 and .*again\.h5 are of the same samples"):
        actscope.merge([tmp_path / "a.h5", tmp_path / "again.h5"], tmp_path / "all.h5")


@pytest.fixture
def parts(tmp_path):
    data = rows(103)
    paths = []
    for number, (start, stop) in enumerate([(0, 50), (50, 51), (51, 103)]):
        paths.append(tmp_path / f"part-{number}.h5")
        names = [f"sample {place}" for place in range(start, stop)]
        codec = "zstd" if number == 1 else None
        extract(
            Model(), data[start:stop], paths[-1], ids=names, labels=range(start, stop), codec=codec
        )
    return data, paths


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_merging_joins_in_order(parts, tmp_path, codec):
    data, paths = parts
    joined = actscope.merge(paths, tmp_path / "all.h5", codec=codec)
    whole = extract(Model(), data, tmp_path / "whole.h5")
    for name in whole:
        np.testing.assert_array_equal(joined[name][:], whole[name][:])
    np.testing.assert_array_equal(joined.labels, np.arange(103))
    assert joined.ids == tuple(f"sample {place}" for place in range(103))
    assert joined.provenance["merged-from"] == [path.name for path in paths]
    assert actscope.verify(tmp_path / "all.h5") == []
    assert actscope.merge([tmp_path / "all.h5", paths[0]], tmp_path / "more.h5").samples == 153


def test_what_does_not_fit_together_is_refused(parts, tmp_path):
    _, paths = parts
    extract(Model(factor=3.0), rows(5), tmp_path / "other.h5", ids=list("abcde"), labels=range(5))
    with pytest.raises(DataError, match="weights-sha256"):
        actscope.merge([paths[0], tmp_path / "other.h5"], tmp_path / "all.h5")
    extract(Model(), rows(5), tmp_path / "bare.h5")
    with pytest.raises(DataError, match="ids: only one of them has any"):
        actscope.merge([paths[0], tmp_path / "bare.h5"], tmp_path / "all.h5")
    extract(Model(), rows(5), tmp_path / "fewer.h5", layers="sum", ids=list("abcde"))
    with pytest.raises(DataError, match="/layers/scaled/output: not in the first"):
        actscope.merge([tmp_path / "fewer.h5", paths[0]], tmp_path / "all.h5")
    with pytest.raises(DataError, match="1 recording is given"):
        actscope.merge(paths[:1], tmp_path / "all.h5")
    actscope.merge(paths[:2], tmp_path / "all.h5")
    with pytest.raises(OutputExistsError):
        actscope.merge(paths, tmp_path / "all.h5")
    assert actscope.open(tmp_path / "all.h5").samples == 51


def test_a_merge_that_broke_off_goes_on(parts, tmp_path, monkeypatch):
    from actscope import merging

    data, paths = parts
    output = tmp_path / "all.h5"
    real = merging.batches_of

    def breaking(path, structure, plan, start):
        if path == paths[2]:
            raise KeyboardInterrupt
        yield from real(path, structure, plan, start)

    def committing(*words, **more):
        writer = open_writer(*words, **more)
        append = writer.append
        writer.append = lambda batch: (append(batch), writer.commit())
        return writer

    open_writer = merging.open_writer
    monkeypatch.setattr(merging, "batches_of", breaking)
    monkeypatch.setattr(merging, "open_writer", committing)
    with pytest.raises(KeyboardInterrupt):
        actscope.merge(paths, output)
    assert actscope.open(output).samples == 51
    monkeypatch.setattr(merging, "batches_of", real)
    joined = actscope.merge(paths, output)
    np.testing.assert_array_equal(joined["scaled"][:], data * 2)
