"""Chunks that are copied as they are, by merge and pack, and rows that are checked on their way."""

import dataclasses

import h5py
import hdf5plugin  # noqa: F401 - gives HDF5 its zstd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import actscope
from actscope.errors import FormatError
from actscope.store import bands
from actscope.store import rows as stored_rows
from actscope.store.checking import check
from actscope.store.chunking import stored_as
from actscope.store.writers import open_writer
from chunked_recordings import small_blocks
from recordings import Example

PLACES = ("samples/input", "layers/conv2d/output", "layers/block.dense/output")


@pytest.fixture(autouse=True)
def blocks():
    with small_blocks():
        yield


def cut(example, cuts):
    """The example's samples as several recordings: (first, last, storage) each."""
    paths = []
    for start, stop, storage in cuts:
        path = example.path.with_name(f"{len(paths)}.h5")
        plan = dataclasses.replace(
            example.plan,
            samples=stop - start,
            ids=example.ids[start:stop],
            labels=example.labels[start:stop],
        )
        with open_writer(path, stored_as(plan, *storage)) as writer:
            for first in range(start, stop, 7):
                writer.append(example.rows(first, min(first + 7, stop)))
            writer.complete()
        paths.append(path)
    return paths


def check_whole(example, recording):
    assert recording.complete
    assert recording.ids == example.ids
    np.testing.assert_array_equal(recording.labels, example.labels)
    np.testing.assert_array_equal(recording.inputs[0][:], example.input)
    for name, array in example.arrays.items():
        np.testing.assert_array_equal(recording[name][:], array)
    assert check(recording.path) == []


def stored_chunks(path, place):
    with h5py.File(path) as file:
        dataset = file[place].id
        found = [dataset.get_chunk_info(number) for number in range(dataset.get_num_chunks())]
        return {
            chunk.chunk_offset: bytes(dataset.read_direct_chunk(chunk.chunk_offset)[1])
            for chunk in found
        }


def no_encoding(*_):
    raise AssertionError("a chunk was encoded again")


ZSTD, GZIP, BY_CHANNEL, CONTIGUOUS = (
    ("zstd", "sample"),
    ("gzip", "sample"),
    ("zstd", "channel"),
    ("none", "sample"),
)


@pytest.mark.parametrize(
    ("storage", "rows"),
    [(ZSTD, 1050), (GZIP, 1050), (BY_CHANNEL, 5250), (("none", "channel"), 5250)],
)
def test_chunks_that_line_up_are_copied_as_they_are(tmp_path, monkeypatch, storage, rows):
    """The rows of the first are a multiple of those of every tensor's chunks."""
    example = Example(tmp_path / "run.h5", samples=rows + 403)
    first, second = cut(example, [(0, rows, storage), (rows, rows + 403, storage)])
    with h5py.File(first) as file:
        assert all(rows % file[place].chunks[0] == 0 for place in PLACES)
    monkeypatch.setattr(bands, "encode", no_encoding)
    joined = actscope.merge([first, second], tmp_path / "all.h5")
    check_whole(example, joined)
    assert (joined.provenance["codec"], joined.provenance["layout"]) == storage
    for place in PLACES:
        expected = stored_chunks(first, place)
        for offset, content in stored_chunks(second, place).items():
            expected[(offset[0] + rows, *offset[1:])] = content
        assert stored_chunks(tmp_path / "all.h5", place) == expected


def test_what_does_not_line_up_is_encoded_again(tmp_path):
    example = Example(tmp_path / "run.h5", samples=403)
    paths = cut(example, [(0, 101, ZSTD), (101, 103, ZSTD), (103, 403, ZSTD)])
    check_whole(example, actscope.merge(paths, tmp_path / "all.h5"))


@settings(max_examples=25)
@given(
    parts=st.lists(
        st.tuples(st.integers(1, 200), st.sampled_from([ZSTD, GZIP, BY_CHANNEL, CONTIGUOUS])),
        min_size=2,
        max_size=4,
    ),
    codec=st.sampled_from([None, "zstd", "gzip", "none"]),
    layout=st.sampled_from([None, "sample", "channel"]),
)
def test_any_parts_give_the_same_rows_in_any_storage(tmp_path_factory, parts, codec, layout):
    folder = tmp_path_factory.mktemp("parts")
    ends = np.cumsum([count for count, _ in parts])
    example = Example(folder / "run.h5", samples=int(ends[-1]))
    cuts = [
        (int(end) - count, int(end), storage)
        for end, (count, storage) in zip(ends, parts, strict=True)
    ]
    words = {"codec": codec, "layout": layout}
    joined = actscope.merge(cut(example, cuts), folder / "all.h5", **words)
    check_whole(example, joined)
    first = (codec or parts[0][1][0], layout or parts[0][1][1])
    if parts[0][0] > 20:  # fewer are in one chunk, by samples as by channels
        assert (joined.provenance["codec"], joined.provenance["layout"]) == first
        with h5py.File(folder / "all.h5") as file:
            assert (file["samples/input"].chunks is None) == (first == CONTIGUOUS)


def test_what_a_packing_leaves_as_it_is_is_not_encoded_again(tmp_path, monkeypatch):
    example = Example(tmp_path / "run.h5", samples=403)
    (path,) = cut(example, [(0, 403, ZSTD)])
    packed = actscope.pack(path, tmp_path / "half.h5", dtype="float16")
    assert stored_chunks(packed.path, "samples/input") == stored_chunks(path, "samples/input")
    np.testing.assert_array_equal(packed.inputs[0][:], example.input)
    monkeypatch.setattr(bands, "encode", no_encoding)
    check_whole(example, actscope.pack(path, tmp_path / "same.h5"))


@pytest.mark.parametrize("layout", ["sample", "channel"])
def test_no_chunk_is_decoded_twice(tmp_path, monkeypatch, layout):
    example = Example(tmp_path / "run.h5", samples=603)
    (path,) = cut(example, [(0, 603, ("zstd", layout))])
    decoded = []
    real = stored_rows.decode
    monkeypatch.setattr(stored_rows, "decode", lambda *words: decoded.append(1) or real(*words))
    actscope.pack(path, tmp_path / "plain.h5", codec="none")
    with h5py.File(path) as file:
        every = ["samples/input", *(f"layers/{n}/output" for n in file["layers"])]
        assert len(decoded) == sum(file[place].id.get_num_chunks() for place in every)


def damaged(path, place):
    """Another recording in its place, of which one chunk holds other values."""
    with h5py.File(path, "r+") as file:
        dataset = file[place]
        offset = (2 * dataset.chunks[0], *[0] * (dataset.ndim - 1))
        other = dataset.id.read_direct_chunk((dataset.chunks[0], *offset[1:]))[1]
        dataset.id.write_direct_chunk(offset, other)


@pytest.mark.parametrize("storage", [ZSTD, BY_CHANNEL])
@pytest.mark.parametrize("words", [{}, {"codec": "none"}, {"codec": "gzip"}])
def test_damage_is_not_copied(tmp_path, storage, words):
    example = Example(tmp_path / "run.h5", samples=603)
    first, second = cut(example, [(0, 300, storage), (300, 603, storage)])
    damaged(second, "layers/conv2d/output")
    with pytest.raises(FormatError, match=r"1\.h5: /layers/conv2d/output: rows .* differ from the"):
        actscope.merge([first, second], tmp_path / "all.h5", **words)
    with pytest.raises(FormatError, match=r"/layers/conv2d/output: rows .* differ from their"):
        actscope.pack(second, tmp_path / "small.h5", **{"codec": "zstd", **words})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.h5", "1.h5"]


def test_statistics_are_of_chunks_that_are_copied_too(tmp_path):
    example = Example(tmp_path / "run.h5", samples=603)
    example.plan = dataclasses.replace(example.plan, keeps_statistics=True)
    first, second = cut(example, [(0, 300, ZSTD), (300, 603, ZSTD)])
    joined = actscope.merge([first, second], tmp_path / "all.h5")
    array = example.arrays["conv2d"].astype(float)
    found = joined["conv2d"].statistics
    np.testing.assert_allclose(found.mean, array.mean((0, 1, 2)))
    np.testing.assert_allclose(found.variance, array.var((0, 1, 2)))
    highest = array.max((1, 2))
    np.testing.assert_array_equal(found.top_samples[0], highest.argmax(0))


def test_checksums_of_an_unknown_algorithm_are_ignored(tmp_path):
    example = Example(tmp_path / "run.h5", samples=403)
    (path,) = cut(example, [(0, 403, ZSTD)])
    damaged(path, "layers/conv2d/output")
    with h5py.File(path, "r+") as file:
        file["checksums"].attrs["algorithm"] = "xxh3"
    assert actscope.verify(path) == []
    packed = actscope.pack(path, tmp_path / "small.h5")
    assert actscope.verify(packed.path) == []


def test_a_recording_without_checksums_gets_some(tmp_path):
    example = Example(tmp_path / "run.h5", samples=403)
    (path,) = cut(example, [(0, 403, ZSTD)])
    with h5py.File(path, "r+") as file:
        del file["checksums"]
    packed = actscope.pack(path, tmp_path / "small.h5")
    check_whole(example, packed)
    with h5py.File(packed.path) as file:
        assert len(file["checksums"]["0"]) == 2 + -(-403 // 5)
