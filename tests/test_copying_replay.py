"""The same as test_chunked_replay.py for recordings written anew, with chunks that are taken over.

Commits are made in a thread of their own after every few rows, while the next ones are placed.
"""

import dataclasses
import os
import sys
from unittest import mock

import numpy as np
import pytest

import actscope
from actscope.errors import MissingFileError, OutputExistsError
from actscope.store import bands, chunked_writer, replanning
from actscope.store.checking import check
from actscope.store.chunking import stored_as
from actscope.store.writers import open_writer
from chunked_recordings import small_blocks
from recordings import Example
from tape import Tape, play, put, unsynchronised

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and os.pwritev")

SAMPLES = 22
FIRST = 10  # rows of the first part, a multiple of those of most chunks


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(chunked_writer, "SECONDS_BETWEEN_COMMITS", 0)
    monkeypatch.setattr(replanning, "BYTES_AT_A_TIME", 6000)  # six rows
    with small_blocks():
        yield


def store(example, path, rows):
    plan = dataclasses.replace(
        example.plan,
        samples=len(rows),
        ids=tuple(example.ids[row] for row in rows),
        labels=example.labels[rows],
    )
    with open_writer(path, stored_as(plan, "zstd", "sample")) as target:
        target.append(example.rows(rows.start, rows.stop))
        target.complete()
    return path


@pytest.fixture(params=["merged", "packed", "packed by channels"])
def copied(request, tmp_path):
    """What went into a copy, and what makes it."""
    source = tmp_path / "source"
    source.mkdir()
    example = Example(tmp_path / "out" / "run.h5", samples=SAMPLES)
    example.path.parent.mkdir()
    if request.param == "merged":
        rows = range(FIRST), range(FIRST, SAMPLES)
        parts = [store(example, source / f"{part.start}.h5", part) for part in rows]
        return example, lambda path: actscope.merge(parts, path)
    layout = "channel" if "channels" in request.param else "sample"
    whole = store(example, source / "whole.h5", range(SAMPLES))
    return example, lambda path: actscope.pack(whole, path, layout=layout)


def check_readable(path, example):
    """Whatever is there can be read, and what it says is committed is right."""
    try:
        recording = actscope.open(path)
    except MissingFileError:
        return
    for name, array in example.arrays.items():
        np.testing.assert_array_equal(recording[name][:], array[: recording.samples])
    np.testing.assert_array_equal(recording.inputs[0][:], example.input[: recording.samples])
    assert check(path) == []


def check_finished(path, example):
    recording = actscope.open(path)
    assert recording.complete
    check_readable(path, example)


def finish(copy, path):
    without_disk = {"fsync": lambda _: None, "fdatasync": lambda _: None}  # these take the time
    try:
        with mock.patch.multiple(os, **without_disk):
            copy(path)
    except OutputExistsError:
        pass


def recorded(copied):
    example, copy = copied
    with Tape(example.path.parent).recording() as tape:
        copy(example.path)
    assert set(play(tape.operations, {})) == {"run.h5"}
    check_finished(example.path, example)
    assert len(tape.operations) > 40
    return tape.operations


def test_every_prefix_can_be_read_and_gone_on_with(copied, tmp_path, request):
    example, copy = copied
    operations = recorded(copied)
    step = 1 if request.node.callspec.params["copied"] == "merged" else 11
    path = tmp_path / "replayed" / "run.h5"
    path.parent.mkdir()
    for length in range(0, len(operations) + 1, step):
        put(play(operations[:length], {}), path.parent)
        check_readable(path, example)
        finish(copy, path)
        check_finished(path, example)


@pytest.mark.parametrize("copied", ["merged"], indirect=True)
def test_after_a_power_failure_what_was_committed_is_there(copied, tmp_path):
    example, copy = copied
    operations = recorded(copied)
    path = tmp_path / "replayed" / "run.h5"
    path.parent.mkdir()
    random = np.random.default_rng(0)
    for length in range(0, len(operations), 3):
        done = operations[:length]
        lost = {place for place in unsynchronised(done) if random.random() < 0.5}
        kept = [operation for place, operation in enumerate(done) if place not in lost]
        put(play(kept, {}), path.parent)
        check_readable(path, example)
        finish(copy, path)
        check_finished(path, example)


@pytest.mark.parametrize("copied", ["merged", "packed"], indirect=True)
def test_chunks_are_taken_over_in_these_tests(copied, monkeypatch):
    taken = []
    real = bands._taken_over
    monkeypatch.setattr(bands, "_taken_over", lambda rows: taken.append(1) or real(rows))
    example, copy = copied
    copy(example.path)
    assert len(taken) >= SAMPLES // 2
