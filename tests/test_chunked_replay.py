"""The same as test_replay.py for recordings in chunks: a journal, and a file of chunks beside it.

Contents are compared instead of bytes: where the library puts a chunk may differ after a crash.
"""

import dataclasses
import os
import sys
from unittest import mock

import numpy as np
import pytest

import actscope
from actscope.errors import MissingFileError, OutputExistsError
from actscope.store import checksums, chunking
from actscope.store.checking import check
from actscope.store.chunked_writer import ChunkedWriter
from actscope.store.chunking import in_chunks
from recordings import Example
from tape import Tape, play, put, unsynchronised

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and os.pwritev")

COMMITS = (3, 5, 10, 12)
BATCHES = (0, 3, 4, 5, 8, 10, 12)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(checksums, "BLOCK_BYTES", 1500)
    monkeypatch.setattr(chunking, "BLOCK_BYTES", 1500)


def plan_of(example, storage):
    codec, layout, known = storage
    words = {} if known else {"samples": 0, "is_open_ended": True, "ids": (), "labels": None}
    tensors = in_chunks(example.plan.tensors, layout, 12 if known else None)
    return dataclasses.replace(example.plan, tensors=tensors, codec=codec, **words)


def write(example, storage, upto=12, **words):
    """A run, or the rest of one: batches at fixed rows, some with a commit."""
    with ChunkedWriter(example.path, plan_of(example, storage), **words) as writer:
        done = writer.committed
        assert done in (0, *COMMITS)
        for stop in BATCHES[BATCHES.index(done) + 1 :]:
            if stop > upto:
                return
            writer.append(example.rows(done, stop))
            done = stop
            if stop in COMMITS:
                writer.commit()
        writer.complete()


@dataclasses.dataclass
class Scenario:
    """What a run did, and from what was there before."""

    operations: list
    before: dict
    storage: tuple
    replaces: bool


KINDS = ["new", "unfinished", "overwritten"]
STORAGES = [("zstd", "sample", True), ("none", "channel", True), ("gzip", "sample", False)]
FEWER = [("unfinished", STORAGES[0])]


@pytest.fixture(params=[(kind, storage) for kind in KINDS for storage in STORAGES], ids=str)
def scenario(request, tmp_path):
    kind, storage = request.param
    example = Example(tmp_path / "run.h5")
    words = {}
    if kind == "unfinished":
        write(example, storage, upto=5)
    if kind == "overwritten":
        example.write()
        words = {"overwrite": True}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with Tape(tmp_path).recording() as tape:
        write(example, storage, **words)
    # The tape holds everything that was done.
    assert play(tape.operations, before) == {"run.h5": example.path.read_bytes()}
    assert len(tape.operations) > 40
    return Scenario(tape.operations, before, storage, kind == "overwritten")


def check_readable(example, *, at_least=0):
    """Whatever is there can be read, and what it says is committed is right."""
    try:
        recording = actscope.open(example.path)
    except MissingFileError:
        assert at_least == 0
        return
    assert recording.samples in (0, *COMMITS)
    assert recording.samples >= at_least
    for name, array in example.arrays.items():
        np.testing.assert_array_equal(recording[name][:], array[: recording.samples])
    np.testing.assert_array_equal(recording.inputs[0][:], example.input[: recording.samples])
    assert check(example.path) == []


def finish(example, storage):
    """Make the same call; a recording that is finished already is left alone."""
    without_disk = {"fsync": lambda _: None, "fdatasync": lambda _: None}  # these take the time
    try:
        with mock.patch.multiple(os, **without_disk):
            write(example, storage)
    except OutputExistsError:
        pass
    recording = actscope.open(example.path)
    assert recording.complete
    for name, array in example.arrays.items():
        np.testing.assert_array_equal(recording[name][:], array)
    assert check(example.path) == []


@pytest.fixture
def example(tmp_path_factory):
    return Example(tmp_path_factory.mktemp("replayed") / "run.h5")


def committed_before(scenario):
    return 5 if any(name.endswith(".partial") for name in scenario.before) else 0


def test_every_prefix_can_be_read_and_gone_on_with(scenario, example):
    for length in range(len(scenario.operations) + 1):
        put(play(scenario.operations[:length], scenario.before), example.path.parent)
        check_readable(example, at_least=committed_before(scenario))
        finish(example, scenario.storage)
        # A finished recording that was to be replaced counts as finished until it is.
        left = {path.name for path in example.path.parent.iterdir()}
        assert "run.h5" in left
        if not scenario.replaces:
            assert not any(".chunks-" in name for name in left), length


@pytest.mark.parametrize("scenario", FEWER, indirect=True, ids=str)
def test_a_write_that_was_cut_short_does_no_harm(scenario, example):
    for length, operation in enumerate(scenario.operations):
        if operation.kind == "write" and len(operation.data) > 8:
            half = dataclasses.replace(operation, data=operation.data[: len(operation.data) // 2])
            left = play([*scenario.operations[:length], half], scenario.before)
            put(left, example.path.parent)
            check_readable(example, at_least=committed_before(scenario))
            finish(example, scenario.storage)


@pytest.mark.parametrize("scenario", FEWER, indirect=True, ids=str)
def test_after_a_power_failure_what_was_committed_is_there(scenario, example):
    random = np.random.default_rng(0)
    for length in range(len(scenario.operations)):
        operations = scenario.operations[:length]
        lost = {place for place in unsynchronised(operations) if random.random() < 0.5}
        kept = [operation for place, operation in enumerate(operations) if place not in lost]
        put(play(kept, scenario.before), example.path.parent)
        check_readable(example, at_least=committed_before(scenario))
        finish(example, scenario.storage)
