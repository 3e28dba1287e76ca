"""Recordings in chunks, finished and unfinished, are refused where anything of them is wrong."""

import h5py
import numpy as np
import pytest

import actscope
import hostile_chunks
from actscope.errors import ActscopeError, FormatError, MissingFileError
from actscope.store.chunked_writer import ChunkedWriter
from actscope.store.journal import chunks_path, partial_path
from actscope.store.verification import findings
from chunked_recordings import chunked, small_blocks, write
from recordings import Example
from test_hostile import check_refused

ROWS = 31


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    example = Example(tmp_path_factory.mktemp("finished") / "good.h5", samples=53)
    with small_blocks():
        write(example, chunked(example))
    return example


@pytest.fixture(scope="module", params=["zstd", "none"])
def unfinished(request, tmp_path_factory):
    """Three commits, after which rows of every dataset stand in the journal."""
    example = Example(tmp_path_factory.mktemp("unfinished") / "good.h5", samples=53)
    with small_blocks(), ChunkedWriter(example.path, chunked(example, request.param)) as writer:
        for start, stop in ((0, 13), (13, 21), (21, ROWS)):
            writer.append(example.rows(start, stop))
            writer.commit()
    return example


def read(path):
    """All rows of all layers and inputs, or an error."""
    with actscope.open(path) as recording:
        found = {name: recording[name][:] for name in recording}
        return found | {"input": recording.inputs[0][:]}


def rows_of(example):
    return {**example.arrays, "input": example.input}


@pytest.mark.parametrize("case", hostile_chunks.CASES)
def test_finished_ones_are_refused(finished, tmp_path, case):
    path = hostile_chunks.make(case, finished.path, tmp_path / "hostile.h5")
    with pytest.raises(FormatError) as refused:
        read(path)
    assert str(refused.value).startswith(str(path))
    found = findings(path)
    assert found
    assert all(finding.place.startswith("/") and finding.problem for finding in found)


@pytest.mark.parametrize("case", hostile_chunks.CASES)
def test_whatever_is_done_with_finished_ones_is_cheap(finished, tmp_path, limited, case):
    path = hostile_chunks.make(case, finished.path, tmp_path / "hostile.h5")
    said = check_refused(limited, path, finished.path)
    assert said["open"].startswith(f"FormatError {path}")
    assert said["verify"].startswith(f"FormatError {path}")


@pytest.mark.parametrize("case", hostile_chunks.UNFINISHED)
def test_whatever_is_done_with_unfinished_ones_is_cheap(unfinished, tmp_path, limited, case):
    path = hostile_chunks.make_unfinished(case, unfinished.path, tmp_path / "hostile.h5")
    said = check_refused(limited, path, path)
    assert said["verify"].startswith("FormatError")


def test_a_bomb_is_read_in_parts_where_it_is_meant(finished, tmp_path):
    path = hostile_chunks.make("bomb_of_large_chunks", finished.path, tmp_path / "hostile.h5")
    layer = actscope.open(path)["conv2d"]
    assert not layer[17].any()
    assert not layer[:, 5, 7].any()
    with pytest.raises(FormatError, match=r"would decode to 1,778,384,896 bytes.*read fewer rows"):
        layer[:]


@pytest.mark.parametrize("link", ["soft", "external", "group"])
def test_a_dataset_that_is_replaced_after_opening_is_not_followed(finished, tmp_path, link):
    path = tmp_path / "run.h5"
    path.write_bytes(finished.path.read_bytes())
    secret = tmp_path / "secret.h5"
    secret.write_bytes(path.read_bytes())
    layer = actscope.open(path)["conv2d"]
    with h5py.File(path, "r+") as file:
        file.move("layers/conv2d", "elsewhere")
        if link == "group":
            file["layers/conv2d"] = h5py.SoftLink("/elsewhere")
        else:
            file.create_group("layers/conv2d")
            file["layers/conv2d/output"] = {
                "soft": h5py.SoftLink("/elsewhere/output"),
                "external": h5py.ExternalLink("secret.h5", "/layers/conv2d/output"),
            }[link]
    with pytest.raises(FormatError, match="Link, which is not followed"):
        layer[:]


def test_a_dataset_of_another_shape_after_opening_is_refused(finished, tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(finished.path.read_bytes())
    layer = actscope.open(path)["conv2d"]
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d/output"]
        file.create_dataset("layers/conv2d/output", (53, 9, 9, 9), "f4", chunks=(2, 9, 9, 9))
    with pytest.raises(FormatError, match="has changed since it was opened"):
        layer[:]


@pytest.mark.parametrize("rows", ["in chunks", "one after another"])
def test_a_file_that_is_gone_or_shorter_after_opening_is_an_error(example, tmp_path, rows):
    path = tmp_path / "gone.h5"
    source = Example(path, samples=12)
    if rows == "in chunks":
        with small_blocks():
            write(source, chunked(source))
    else:
        source.write()
    recording = actscope.open(path)
    path.write_bytes(b"short")
    with pytest.raises(FormatError, match=r"gone\.h5"):
        recording["conv2d"][:]
    path.unlink()
    with pytest.raises(FormatError, match=r"gone\.h5"):
        recording["tokens"][:]


@pytest.mark.parametrize("case", hostile_chunks.UNFINISHED)
def test_unfinished_ones_are_refused(unfinished, tmp_path, case):
    path = hostile_chunks.make_unfinished(case, unfinished.path, tmp_path / "hostile.h5")
    if case in ("checksums_left_out", "the_last_entry_twice"):
        for name, rows in read(path).items():  # the rows are right, and it is said what is not
            np.testing.assert_array_equal(rows, rows_of(unfinished)[name][:ROWS])
    else:
        with pytest.raises(ActscopeError) as refused:
            read(path)
        assert str(path) in str(refused.value)
        assert not isinstance(refused.value, MissingFileError)
    found = findings(path)
    assert found
    assert all(finding.place.startswith("/") and finding.problem for finding in found)


def test_a_run_does_not_throw_damaged_rows_away_unasked(unfinished, tmp_path):
    case = "chunks_cut_off"
    path = hostile_chunks.make_unfinished(case, unfinished.path, tmp_path / "hostile.h5")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(FormatError, match=r"cannot be gone on with.*--overwrite"), small_blocks():
        ChunkedWriter(path, unfinished.plan)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def copied(example, path):
    for place in (partial_path, lambda name: chunks_path(name, 0)):
        place(path).write_bytes(place(example.path).read_bytes())
    return path


def rows_if_read(path, example):
    """How many rows are read, all of them right; 0 where the recording is refused."""
    try:
        found = read(path)
    except ActscopeError:
        return 0
    counts = {len(rows) for rows in found.values()}
    assert len(counts) == 1
    for name, rows in found.items():
        np.testing.assert_array_equal(rows, rows_of(example)[name][: len(rows)])
    return counts.pop()


def test_a_journal_cut_anywhere_gives_an_earlier_commit(unfinished, tmp_path):
    path = copied(unfinished, tmp_path / "run.h5")
    whole = partial_path(path).read_bytes()
    counts = []
    for size in range(0, len(whole), 64):
        partial_path(path).write_bytes(whole[:size])
        counts.append(rows_if_read(path, unfinished))
    assert sorted(set(counts)) == [0, 13, 21]
    assert counts == sorted(counts)


def test_a_bit_flipped_in_a_journal_gives_no_wrong_row(unfinished, tmp_path):
    path = copied(unfinished, tmp_path / "run.h5")
    whole = partial_path(path).read_bytes()
    random = np.random.default_rng(0)
    commits = [(place, size) for place, size in _spans(whole) if place]
    places = [int(p) for p in random.integers(0, len(whole), 100)]
    places += [place + offset for place, size in commits for offset in range(0, min(size, 400), 7)]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << random.integers(8)
        partial_path(path).write_bytes(content)
        assert rows_if_read(path, unfinished) < ROWS
        assert findings(path) or place >= commits[-1][0]  # the last one is as if cut off


def _spans(content):
    place = 0
    while place < len(content):
        _, _, length, more = hostile_chunks._HEADER.unpack_from(content, place)
        size = hostile_chunks._HEADER.size + length + more
        yield place, size
        place += size


def test_a_bit_flipped_in_a_chunk_is_found(unfinished, tmp_path):
    path = copied(unfinished, tmp_path / "run.h5")
    file = chunks_path(path, 0)
    whole = file.read_bytes()
    assert findings(path) == []
    random = np.random.default_rng(0)
    for place in random.integers(0, len(whole), 60):
        content = bytearray(whole)
        content[place] ^= 1 << random.integers(8)
        file.write_bytes(content)
        if findings(path) == []:
            assert rows_if_read(path, unfinished) == ROWS


def test_a_provenance_of_endless_brackets_is_an_error(example):
    path = example.write()
    with h5py.File(path, "r+") as file:
        file.attrs["provenance"] = "[" * 60_000
    with pytest.raises(FormatError, match="provenance"):
        actscope.open(path)
