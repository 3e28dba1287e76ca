"""A process may die between any two changes to a file, and within one; the power may fail.

A run is recorded change by change - what the HDF5 library writes through h5py's file-object driver,
and what goes past it - and then played back up to every one of them. What is left is read and gone
on with.
"""

import dataclasses
import os
import sys
from unittest import mock

import numpy as np
import pytest

import actscope
from actscope.errors import FormatError, OutputExistsError
from actscope.store import checksums
from actscope.store.checking import check
from actscope.store.opening import partial_path
from actscope.store.writer import Writer
from recordings import Example
from tape import Tape, play, put, unsynchronised

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and os.pwritev")

COMMITS = (3, 5, 10, 12)
BATCHES = (0, 3, 4, 5, 8, 10, 12)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(checksums, "BLOCK_BYTES", 1500)


def write(example, **words):
    """The rest of a run: batches at fixed rows, some with a commit."""
    with Writer(example.path, example.plan, **words) as writer:
        done = writer.committed
        assert done in (0, *COMMITS)
        for stop in BATCHES[BATCHES.index(done) + 1 :]:
            writer.append(example.rows(done, stop))
            done = stop
            if stop in COMMITS:
                writer.commit()


@dataclasses.dataclass
class Scenario:
    """What a run did, from what was there before, and what it leaves in the end."""

    operations: list
    before: dict
    finished: bytes

    @property
    def after_the_layout(self):
        """The positions after the file was laid out; until then it is replaced anyway."""
        kinds = [operation.kind for operation in self.operations]
        return range(kinds.index("sync"), len(kinds))


@pytest.fixture(params=["new", "unfinished", "overwritten"])
def scenario(request, tmp_path):
    example = Example(tmp_path / "run.h5")
    words = {}
    if request.param == "unfinished":
        with Writer(example.path, example.plan) as writer:
            writer.append(example.rows(0, 3))
            writer.commit()
    if request.param == "overwritten":
        example.write()
        words = {"overwrite": True}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with Tape(tmp_path).recording() as tape:
        write(example, **words)
    finished = example.path.read_bytes()
    assert play(tape.operations, before) == {"run.h5": finished}  # the tape holds everything
    assert len(tape.operations) > 40
    return Scenario(tape.operations, before, finished)


def check_readable(example):
    """Whatever is there can be read, and what it says is committed is right."""
    for path in (example.path, partial_path(example.path)):
        try:
            recording = actscope.open(path) if path.exists() else None
        except FormatError:
            assert path != example.path  # only what has no name yet may be half a file
            continue
        if recording is None:
            continue
        assert recording.samples in (0, *COMMITS)
        for name, array in example.arrays.items():
            np.testing.assert_array_equal(recording[name][:], array[: recording.samples])
        np.testing.assert_array_equal(recording.inputs[0][:], example.input[: recording.samples])
        assert check(path) == []
        recording.close()


def finish(example):
    """Make the same call; a recording that is finished already is left alone."""
    without_disk = {"fsync": lambda _: None, "fdatasync": lambda _: None}  # these take the time
    try:
        with mock.patch.multiple(os, **without_disk):
            write(example)
    except OutputExistsError:
        assert actscope.open(example.path).complete


@pytest.fixture
def example(tmp_path_factory):
    return Example(tmp_path_factory.mktemp("replayed") / "run.h5")


def test_every_prefix_can_be_read_and_gone_on_with(scenario, example):
    for length in range(len(scenario.operations) + 1):
        put(play(scenario.operations[:length], scenario.before), example.path.parent)
        check_readable(example)
        finish(example)
        assert example.path.read_bytes() == scenario.finished, length
        left = {path.name for path in example.path.parent.iterdir()}
        assert left <= {"run.h5", "run.h5.partial"}


def test_a_write_that_was_cut_short_does_no_harm(scenario, example):
    for length in scenario.after_the_layout:
        operation = scenario.operations[length]
        if operation.kind == "write" and len(operation.data) > 8:
            half = dataclasses.replace(operation, data=operation.data[: len(operation.data) // 2])
            left = play([*scenario.operations[:length], half], scenario.before)
            put(left, example.path.parent)
            check_readable(example)
            finish(example)
            assert example.path.read_bytes() == scenario.finished, length


def test_after_a_power_failure_what_was_committed_is_there(scenario, example):
    random = np.random.default_rng(0)
    for length in scenario.after_the_layout:
        operations = scenario.operations[:length]
        lost = {place for place in unsynchronised(operations) if random.random() < 0.5}
        kept = [operation for place, operation in enumerate(operations) if place not in lost]
        put(play(kept, scenario.before), example.path.parent)
        check_readable(example)
        finish(example)
        recording = actscope.open(example.path)
        assert recording.complete
        for name, array in example.arrays.items():
            np.testing.assert_array_equal(recording[name][:], array)
        assert check(example.path) == []
