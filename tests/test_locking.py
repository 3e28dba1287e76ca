"""One writer at a time, and any number of readers beside it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

import actscope
from actscope.errors import OutputExistsError, OutputInUseError
from actscope.store import locking
from actscope.store.checking import check
from actscope.store.writer import Writer
from recordings import Example

HOLD = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from recordings import Example
from actscope.store.writer import Writer
example = Example(Path(sys.argv[1]))
writer = Writer(example.path, example.plan, overwrite=sys.argv[3] == "overwrite")
writer.append(example.rows(0, 7))
if int(sys.argv[2]):
    writer.commit()
print("ready", flush=True)
time.sleep(60)
"""


def held(path, committed, mode="new"):
    """A process that writes `path` and goes on holding it."""
    command = [sys.executable, "-c", HOLD, str(path), str(int(committed)), mode]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_process_is_refused_until_the_first_is_gone(example, committed, overwrite):
    process = held(example.path, committed)
    try:
        before = sorted(example.path.parent.iterdir())
        with pytest.raises(OutputInUseError, match=r"run\.h5.* is being written by another run"):
            Writer(example.path, example.plan, overwrite=overwrite)
        assert sorted(example.path.parent.iterdir()) == before
    finally:
        kill(process)
    with Writer(example.path, example.plan, overwrite=overwrite) as writer:
        assert writer.committed == (7 if committed and not overwrite else 0)
        writer.append(example.rows(writer.committed, 12))
        writer.commit()
    assert [path.name for path in example.path.parent.iterdir()] == ["run.h5"]
    assert check(example.path) == []


def test_a_file_that_is_being_replaced_is_not_written_by_another(example):
    example.write(5)
    process = held(example.path, committed=False, mode="overwrite")
    try:
        with pytest.raises(OutputInUseError):
            Writer(example.path, example.plan)
        assert actscope.open(example.path).samples == 5
    finally:
        kill(process)
    with Writer(example.path, example.plan) as writer:
        assert writer.committed == 5


def test_two_writers_in_one_process(example):
    with Writer(example.path, example.plan) as first:
        with pytest.raises(OutputInUseError):
            Writer(example.path, example.plan)
        first.append(example.rows(0, 5))
        first.commit()
        with pytest.raises(OutputInUseError):
            Writer(example.path, example.plan)
        first.append(example.rows(5, 12))
        first.commit()
        with pytest.raises(OutputExistsError):
            Writer(example.path, example.plan)


def test_a_lock_outlives_what_readers_of_the_same_process_do(example):
    with Writer(example.path, example.plan) as writer:
        writer.append(example.rows(0, 5))
        writer.commit()
        with h5py.File(example.path) as file:  # with HDF5's own locking
            assert file["rows"][0] == 5
        with actscope.open(example.path) as recording:
            assert recording.samples == 5
        with pytest.raises(OutputInUseError):
            Writer(example.path, example.plan)


def test_a_file_that_got_its_name_while_it_was_waited_for_is_opened_again(tmp_path, monkeypatch):
    path = tmp_path / "run.h5.partial"
    path.touch()
    lock = locking.lock

    def renamed_meanwhile(descriptor, name):
        lock(descriptor, name)
        if not (tmp_path / "run.h5").exists():
            path.replace(tmp_path / "run.h5")

    monkeypatch.setattr(locking, "lock", renamed_meanwhile)
    descriptor = locking.open_locked(path, create=True)
    assert os.path.samestat(os.fstat(descriptor), path.stat())
    os.close(descriptor)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks to be missing")
def test_file_systems_without_locks_let_everybody_write(example, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locking.fcntl, "fcntl", refuse)
    monkeypatch.setattr(locking.fcntl, "lockf", refuse)
    example.write()
    assert actscope.open(example.path).complete


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")
def test_systems_without_locks_of_open_files_use_those_of_processes(example, monkeypatch):
    monkeypatch.delattr(locking.fcntl, "F_OFD_SETLK", raising=False)
    process = held(example.path, committed=True)
    try:
        with Writer(example.path.with_name("other.h5"), example.plan):
            pass
    finally:
        kill(process)
    with Writer(example.path, example.plan) as writer:
        assert writer.committed == 7


def test_another_process_reads_committed_rows_while_they_are_written(tmp_path):
    example = Example(tmp_path / "run.h5", samples=400)
    read = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import numpy as np
import actscope
from actscope.store.checking import check
from recordings import Example
path = Path(sys.argv[1])
example = Example(Path("unused"), samples=400)
seen, deadline = set(), time.monotonic() + 60
while not (seen and max(seen) == 400):
    assert time.monotonic() < deadline
    if path.exists():
        recording = actscope.open(path)
        seen.add(recording.samples)
        for name, array in example.arrays.items():
            np.testing.assert_array_equal(recording[name][:], array[:recording.samples])
        assert check(path) == []
        print(recording.samples, flush=True)
assert len(seen) > 5, seen
"""
    reader = subprocess.Popen(
        [sys.executable, "-c", read, str(example.path)], stdout=subprocess.PIPE, text=True
    )
    with Writer(example.path, example.plan) as writer:
        for start in range(0, 400, 8):
            writer.append(example.rows(start, start + 8))
            writer.commit()
            if start < 160:
                assert reader.stdout.readline()  # it has read since
            time.sleep(0.002)
    assert reader.wait(60) == 0
    reader.stdout.close()
