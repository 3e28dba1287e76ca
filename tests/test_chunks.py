"""Recordings in chunks: codecs, layouts, streams of unknown length, and any index into them."""

import dataclasses
import threading
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - gives HDF5 its zstd
import numpy as np
import pytest
from h5py._objects import phil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import actscope
from actscope.errors import DataError, DiskFullError, FormatError, OutputExistsError, ResumeError
from actscope.store import checksums, chunking, disk, layout
from actscope.store.chunked_writer import ChunkedWriter
from actscope.store.chunking import chunk_at, chunk_shape, places
from actscope.store.codecs import CODECS, decode, encode, filters
from actscope.store.schema import TensorPlan
from actscope.store.writer import Writer
from chunked_recordings import chunked, small_blocks, write
from numpy_model import Model, extract, rows
from recordings import Example


@pytest.fixture(autouse=True)
def blocks():
    with small_blocks():
        yield


def check_content(example, count):
    with actscope.open(example.path) as recording:
        assert recording.samples == count
        for name, array in example.arrays.items():
            np.testing.assert_array_equal(recording[name][:], array[:count])
        np.testing.assert_array_equal(recording.inputs[0][:], example.input[:count])
    assert actscope.verify(example.path) == []


@pytest.fixture(params=[(codec, layout) for codec in CODECS for layout in chunking.LAYOUTS])
def stored(request, tmp_path):
    example = Example(tmp_path / "run.h5", samples=53)
    return example, *request.param


@pytest.mark.parametrize("known", [True, False])
def test_any_hdf5_tool_reads_the_finished_file(stored, known):
    example, codec, layout = stored
    write(example, chunked(example, codec, layout, known))
    check_content(example, 53)
    assert list(example.path.parent.iterdir()) == [example.path]
    with h5py.File(example.path) as file:
        assert file["rows"][0] == 53
        np.testing.assert_array_equal(file["sample"], np.arange(53))
        for name, array in example.arrays.items():
            dataset = file[f"layers/{name.replace('/', '.')}/output"]
            assert dataset.shape == array.shape
            np.testing.assert_array_equal(dataset[:], array)
            assert dataset.dims[0][0] == file["sample"]
            assert dataset.chunks is not None


def test_xarray_reads_it(tmp_path):
    xarray = pytest.importorskip("xarray")
    example = Example(tmp_path / "run.h5", samples=53)
    write(example, chunked(example, "gzip", known=False))
    found = xarray.open_dataset(example.path, engine="h5netcdf", group="layers/conv2d")
    assert found.output.dims == ("sample", "y", "x", "channel")
    np.testing.assert_array_equal(found.output, example.arrays["conv2d"])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("upto", [1, 7, 25, 52])
def test_an_unfinished_run_is_read_and_gone_on_with(stored, upto, known):
    example, codec, layout = stored
    plan = chunked(example, codec, layout, known)
    write(example, plan, upto)
    assert not example.path.exists()  # nothing has the name until it is finished
    check_content(example, upto)
    recording = actscope.open(example.path)
    assert not recording.complete
    assert recording.planned == (53 if known else None)
    write(example, plan)
    check_content(example, 53)
    assert actscope.open(example.path).complete
    assert list(example.path.parent.iterdir()) == [example.path]
    other = Example(example.path.parent / "whole" / "run.h5", samples=53)
    write(other, plan)
    with h5py.File(example.path) as one, h5py.File(other.path) as two:
        for number in range(len(plan.tensors)):
            np.testing.assert_array_equal(one[f"checksums/{number}"], two[f"checksums/{number}"])


def test_a_run_goes_on_in_the_same_file_of_chunks(stored):
    example, codec, layout = stored
    plan = chunked(example, codec, layout)
    write(example, plan, 25)
    (before,) = example.path.parent.glob("run.h5.chunks-*")
    number = before.stat().st_ino
    for upto in (31, 49):
        write(example, plan, upto)
        assert list(example.path.parent.glob("run.h5.chunks-*")) == [before]
    write(example, plan)
    assert example.path.stat().st_ino == number
    check_content(example, 53)


def laid_out_otherwise(surface, plan):
    """As another version of the HDF5 library might: with something else before the chunks."""
    file = create_chunked(surface, plan)
    file.attrs["other"] = np.zeros(3000)
    return file


create_chunked = layout.create_chunked


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("actscope.store.layout.create_chunked", laid_out_otherwise),
        ("actscope.store.journal._in_order", lambda chunks, order: ()),
    ],
)
def test_chunks_move_where_the_library_would_place_them_elsewhere(stored, name, other, monkeypatch):
    example, codec, layout = stored
    plan = chunked(example, codec, layout)
    write(example, plan, 25)
    with monkeypatch.context() as patched:
        patched.setattr(name, other)
        write(example, plan, 31)
    moved = [path.name for path in example.path.parent.glob("run.h5.chunks-*")]
    assert moved == ["run.h5.chunks-1"]
    check_content(example, 31)
    write(example, plan)
    check_content(example, 53)


def test_committed_rows_are_read_while_the_run_goes_on(tmp_path):
    example = Example(tmp_path / "run.h5", samples=53)
    with ChunkedWriter(example.path, chunked(example)) as writer:
        writer.append(example.rows(0, 30))
        writer.commit()
        early = actscope.open(example.path)
        first = early["conv2d"][3]
        writer.append(example.rows(30, 40))
        writer.commit()
        check_content(example, 40)
        writer.append(example.rows(40, 53))
        writer.complete()
        np.testing.assert_array_equal(first, example.arrays["conv2d"][3])
        np.testing.assert_array_equal(early["conv2d"][:], example.arrays["conv2d"][:30])
    check_content(example, 53)


def test_another_run_is_refused_and_loses_nothing(tmp_path):
    example = Example(tmp_path / "run.h5", samples=53)
    write(example, chunked(example), 30)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for plan in (
        chunked(example, "gzip", "channel"),
        chunked(example, known=False),
        dataclasses.replace(chunked(example), provenance='{"backend": "other"}'),
    ):
        with pytest.raises(ResumeError, match="holds 30 of 53 samples"):
            ChunkedWriter(example.path, plan)
    with pytest.raises(ResumeError, match="chunks"):
        Writer(example.path, example.plan)
    other = dataclasses.replace(example.plan, provenance='{"backend": "other"}')
    with pytest.raises(ResumeError, match=r'\(backend: "none" in the file, "other" in this call\)'):
        Writer(example.path, other)  # of which other chunks follow
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    write(example, chunked(example))
    with pytest.raises(OutputExistsError):
        ChunkedWriter(example.path, chunked(example))
    check_content(example, 53)


def test_a_file_is_replaced_when_the_new_one_is_finished(tmp_path):
    example = Example(tmp_path / "run.h5", samples=53)
    example.write()
    old = example.path.read_bytes()
    plan = chunked(example)
    write(example, plan, 30, overwrite=True)
    assert example.path.read_bytes() == old
    write(example, plan)  # the same call without saying so again goes on
    check_content(example, 53)
    with h5py.File(example.path) as file:
        assert file["layers/conv2d/output"].chunks


@pytest.mark.parametrize("kind", ["static", "chunked"])
def test_overwriting_takes_an_unfinished_run_away(tmp_path, kind):
    example = Example(tmp_path / "run.h5", samples=53)
    write(example, chunked(example), 30)
    if kind == "static":
        with Writer(example.path, example.plan, overwrite=True) as writer:
            writer.append(example.rows(0, 53))
            writer.commit()
    else:
        write(example, chunked(example), overwrite=True)
    check_content(example, 53)
    assert list(tmp_path.iterdir()) == [example.path]


def test_a_run_without_a_commit_leaves_nothing(tmp_path):
    example = Example(tmp_path / "run.h5")
    with ChunkedWriter(example.path, chunked(example)) as writer:
        writer.append(example.rows(0, 5))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_loses_no_committed_row(tmp_path, monkeypatch):
    example = Example(tmp_path / "run.h5", samples=53)
    plan = chunked(example)
    write(example, plan, 30)
    real = disk._write_some

    def full(*words):
        raise OSError(28, "No space left on device")

    writer = ChunkedWriter(example.path, plan)
    monkeypatch.setattr(disk, "_write_some", full)
    writer.append(example.rows(30, 40))
    with pytest.raises(DiskFullError, match="committed so far are safe"):
        writer.commit()
    writer.close()
    monkeypatch.setattr(disk, "_write_some", real)
    check_content(example, 30)
    write(example, plan)
    check_content(example, 53)


def test_other_threads_may_use_h5py_meanwhile(tmp_path, monkeypatch):
    """Data may come from HDF5: nobody else is in the library while it places a chunk."""
    free = []
    real = layout.Surface.write

    def try_lock():
        free.append(phil.acquire(False))
        if free[-1]:
            phil.release()

    def write_observed(surface, data):
        other = threading.Thread(target=try_lock)
        other.start()
        other.join()
        return real(surface, data)

    example = Example(tmp_path / "run.h5", samples=53)
    monkeypatch.setattr(layout.Surface, "write", write_observed)
    write(example, chunked(example))
    assert len(free) > 20
    assert not any(free)


def test_damage_in_a_chunk_is_found_and_said(tmp_path):
    example = Example(tmp_path / "run.h5", samples=53)
    write(example, chunked(example, "none"))
    with h5py.File(example.path, "r+") as file:
        file["layers/conv2d/output"][20, 0, 0, 0] = 7
    findings = actscope.verify(example.path)
    assert [finding.place for finding in findings] == ["/layers/conv2d/output"]
    write(example, chunked(example, "zstd"), overwrite=True)
    with h5py.File(example.path, "r") as file:
        chunk = file["layers/conv2d/output"].id.get_chunk_info(1)
    content = bytearray(example.path.read_bytes())
    content[chunk.byte_offset + 8 : chunk.byte_offset + 40] = bytes(32)
    example.path.write_bytes(content)
    (finding,) = actscope.verify(example.path)
    assert "/layers/conv2d/output" in finding.problem + finding.place
    with pytest.raises(FormatError, match="chunk 1"):
        actscope.open(example.path)["conv2d"][:]


def test_a_missing_chunk_is_damage(tmp_path):
    example = Example(tmp_path / "run.h5", samples=53)
    write(example, chunked(example, "none"))
    with h5py.File(example.path, "r+") as file:
        dataset = file["layers/conv2d/output"]
        kept = dataset.attrs["axes"]
        words = {name: dataset.attrs[name] for name in dataset.attrs if not name.startswith("DIM")}
        chunks, shape = dataset.chunks, dataset.shape
        del file["layers/conv2d/output"]
        new = file.create_dataset("layers/conv2d/output", shape, "<f4", chunks=chunks)
        new.attrs.update(words)
        assert list(new.attrs["axes"]) == list(kept)
    with pytest.raises(FormatError, match="needs 27 chunks for 53 rows"):
        actscope.open(example.path)["conv2d"][0]


def test_a_dataset_that_became_a_link_is_not_followed(tmp_path):
    example = Example(tmp_path / "run.h5", samples=53)
    write(example, chunked(example))
    other = Example(tmp_path / "other.h5", samples=53)
    write(other, chunked(other))
    recording = actscope.open(example.path)
    with h5py.File(example.path, "r+") as file:
        file.move("layers/conv2d/output", "moved")
        file["layers/conv2d/output"] = h5py.ExternalLink(other.path.name, "layers/conv2d/output")
    with pytest.raises(FormatError, match="ExternalLink, which is not followed"):
        recording["conv2d"][0]


def test_a_chunk_without_its_filters_is_refused(tmp_path):
    example = Example(tmp_path / "run.h5", samples=53)
    write(example, chunked(example, "gzip"))
    with h5py.File(example.path, "r+") as file:
        dataset = file["layers/conv2d/output"]
        dataset.id.write_direct_chunk((0, 0, 0, 0), bytes(dataset.chunks[0] * 576), filter_mask=3)
    with pytest.raises(FormatError, match="stored without some of its filters"):
        actscope.open(example.path)["conv2d"][0]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexed")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksums, "BLOCK_BYTES", 900)
        patch.setattr(chunking, "BLOCK_BYTES", 900)
        patch.setattr(chunking, "BAND_BYTES", 4000)
        for layout in chunking.LAYOUTS:
            example = Example(folder / f"{layout}.h5", samples=53)
            write(example, chunked(example, "gzip", layout))
            found.append((actscope.open(example.path)["conv2d"], example.arrays["conv2d"]))
            part = Example(folder / f"{layout}-part.h5", samples=53)
            write(part, chunked(part, "none", layout), 29)
            found.append((actscope.open(part.path)["conv2d"], part.arrays["conv2d"][:29]))
    return found


def index_of(shape):
    basic = hnp.basic_indices(shape, allow_newaxis=True)
    integers = hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2))
    mask = hnp.arrays(bool, shape[0])
    pair = st.tuples(
        st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=5),
        st.slices(shape[1]),
        st.integers(-shape[2], shape[2] - 1),
    )
    return st.one_of(basic, integers, mask, pair)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_index_gives_what_numpy_gives(indexed, data):
    layer, array = data.draw(st.sampled_from(indexed))
    index = data.draw(index_of(array.shape))
    np.testing.assert_array_equal(layer[index], array[index])


@pytest.mark.parametrize("index", [(53,), (0, 6), (0, 0, 0, 0, 0), (slice(None), -7)])
def test_an_index_beyond_the_ends_is_an_index_error(indexed, index):
    with pytest.raises(IndexError):
        indexed[0][0][index]


@given(
    array=hnp.arrays(
        st.sampled_from(["f4", "f2", "f8", "u1", "i8"]),
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=6),
        elements=st.integers(0, 100),
    ),
    codec=st.sampled_from(CODECS),
)
def test_what_is_encoded_is_decoded(array, codec):
    pipeline = [stage.number for stage in filters(codec, array.itemsize)]
    found = decode(encode(array, codec), pipeline, array.shape, array.dtype)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_a_chunk_that_would_grow_beyond_its_size_is_refused(codec):
    bomb = encode(np.zeros(10_000_000, np.uint8), codec)
    pipeline = [stage.number for stage in filters(codec, 1)]
    with pytest.raises(FormatError):
        decode(bomb, pipeline, (1000,), np.dtype(np.uint8))


@given(
    shape=st.lists(st.integers(1, 9), max_size=3),
    layout=st.sampled_from(chunking.LAYOUTS),
    count=st.integers(1, 20),
    cuts=st.lists(st.integers(0, 20), max_size=3),
)
def test_chunks_cover_every_value_once(shape, layout, count, cuts):
    axes = ("y", "x", "channel")[3 - len(shape) :]
    tensor = TensorPlan("layers/x", "output", tuple(shape), "float32", axes)
    chunk = chunk_shape(tensor, layout, count)
    band = np.arange(1, 1 + count * int(np.prod(shape)), dtype="f4").reshape(count, *shape)
    band = band[: chunk[0]]
    seen = np.zeros_like(band)
    parts = np.split(band, sorted(min(cut, len(band)) for cut in cuts))
    for place in places(tensor.shape, chunk):
        piece = chunk_at(parts, chunk, place)
        assert piece.shape == chunk
        assert piece.flags.c_contiguous
        target = seen[(slice(None), *place)]
        target += piece[tuple(map(slice, target.shape))]
    np.testing.assert_array_equal(seen, band)


def test_by_channel_a_channel_is_read_without_the_others(tmp_path):
    tensor = TensorPlan("layers/x", "output", (14, 14, 512), "float32", ("y", "x", "channel"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksums, "BLOCK_BYTES", 2**20)
        patch.setattr(chunking, "BLOCK_BYTES", 2**20)
        patch.setattr(chunking, "BAND_BYTES", 32 * 2**20)
        chunk = chunk_shape(tensor, "channel", None)
    assert chunk[1:3] == (14, 14)
    assert chunk[3] <= 4  # few channels
    assert chunk[0] >= 50  # of many samples
    assert np.prod(chunk) * 4 <= 2**20


@pytest.mark.parametrize("codec", [None, "zstd"])
def test_a_generator_is_recorded_until_it_ends(tmp_path, codec):
    data = rows(203)
    path = tmp_path / "run.h5"
    stream = (data[start : start + 7] for start in range(0, 203, 7))
    recording = extract(Model(), stream, path, codec=codec)
    assert recording.complete
    assert recording.samples == recording.planned == 203
    np.testing.assert_array_equal(recording["scaled"][:], data * 2)


def test_a_generator_that_breaks_is_gone_on_with(tmp_path):
    data = rows(203)
    path = tmp_path / "run.h5"

    def stream(end):
        for start in range(0, 203, 7):
            if start > end:
                raise OSError("the share is gone")
            yield data[start : start + 7]

    with pytest.raises(OSError, match="share is gone"):
        extract(Model(), stream(100), path, codec="zstd")
    with actscope.open(path) as part:
        assert 90 < part.samples <= 105
        assert part.planned is None
        np.testing.assert_array_equal(part["scaled"][:], (data * 2)[: part.samples])
    with pytest.warns(match="read again and passed over"):
        recording = extract(Model(), stream(1000), path, codec="zstd")
    np.testing.assert_array_equal(recording["scaled"][:], data * 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"codec": "lz4"}, "codec='lz4'"),
        ({"layout": "row"}, "layout='row'"),
        ({"ids": ["a"] * 203}, "pass samples="),
        ({"labels": range(203)}, "pass samples="),
    ],
)
def test_wrong_words(tmp_path, words, message):
    with pytest.raises(DataError, match=message):
        extract(Model(), iter([rows(203)]), tmp_path / "run.h5", **words)
    assert list(tmp_path.iterdir()) == []


def test_a_path_may_hold_pattern_characters(tmp_path):
    example = Example(tmp_path / "[a]*" / "run.h5", samples=53)
    write(example, chunked(example), 30)
    write(example, chunked(example), overwrite=True)
    assert [path.name for path in Path(example.path).parent.iterdir()] == ["run.h5"]
