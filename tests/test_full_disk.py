"""A disk that is full before a run, and one that fills up during it: on a small file system."""

import errno
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import actscope
from actscope.errors import DiskFullError
from actscope.store import chunked_writer, replanning, writer
from actscope.store.checking import check
from actscope.store.space import reserve
from numpy_model import Model, content, extract, rows

SIZE = 4 * 2**20
SAMPLES = 60_000  # 28 bytes each in the file


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 4 MiB, in memory."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs") as folder:
        yield folder


@pytest.fixture
def small_ext4(tmp_path):
    """A folder on a file system that reserves blocks without writing them."""
    image = tmp_path / "image"
    image.write_bytes(bytes(2 * SIZE))
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with mounted(tmp_path / "ext4", "-o", "loop", str(image)) as folder:
        yield folder


@contextmanager
def mounted(folder, *words):
    """A new folder on which a file system is mounted within."""
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    done = subprocess.run(["mount", *words, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_too_much_is_refused_before_the_model_runs(small_disk):
    model = Model()
    with pytest.raises(DiskFullError, match=r"needs [\d,]{9,} bytes and .* has [\d,]+ free"):
        extract(model, rows(4 * SAMPLES), small_disk / "run.h5")
    assert model.batches == 0
    assert list(small_disk.iterdir()) == []


def test_blocks_that_cannot_be_reserved_are_refused_before_the_model_runs(small_ext4, monkeypatch):
    """Something else takes the room between looking and reserving."""
    usage = type("Usage", (), {"free": 10**12})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    model = Model()
    with pytest.raises(DiskFullError, match="cannot be reserved"):
        extract(model, rows(8 * SAMPLES), small_ext4 / "run.h5")
    assert model.batches == 0
    assert [path.name for path in small_ext4.iterdir()] == ["lost+found"]


def test_room_is_reserved_on_a_disk_and_not_in_memory(small_disk, small_ext4):
    """In memory that would take as long as writing all rows does, before anything is computed."""
    blocks = {}
    for folder in (small_disk, small_ext4):
        with (folder / "file").open("wb") as file:
            reserve(file.fileno(), 2**20, folder)
        found = (folder / "file").stat()
        assert found.st_size == 2**20
        blocks[folder] = found.st_blocks * 512
    assert blocks == {small_disk: 0, small_ext4: 2**20}


def fill(folder, free=0):
    """Leave so many bytes on the disk."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(file.tell() - free)


@pytest.mark.parametrize("free", [0, 4096, 8192, 16384, 32768])
def test_a_disk_that_fills_up_while_the_file_is_laid_out(small_disk, free):
    """In a process of its own: the HDF5 library crashes when it cannot write."""
    fill(small_disk, free)
    code = f"""
import shutil, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import numpy_model
shutil.disk_usage = lambda _: type("Usage", (), {{"free": 10**12}})
try:
    numpy_model.extract(numpy_model.Model(), numpy_model.rows(2000), Path(sys.argv[1]) / "run.h5")
except numpy_model.actscope.errors.DiskFullError as error:
    sys.exit("cannot be reserved" not in str(error))
"""
    done = subprocess.run([sys.executable, "-c", code, str(small_disk)], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


class Filling:
    """Data that fill up the disk when half of them are read."""

    dtype = np.dtype(np.float32)
    shape = (SAMPLES, 3)

    def __init__(self, folder):
        self.folder = folder
        self.last = 0

    def __getitem__(self, key):
        if self.last < SAMPLES // 2 <= key.start and key.stop - key.start > 1:
            fill(self.folder)
        if key.stop - key.start > 1:
            self.last = key.start
        return rows(SAMPLES)[key]


def test_a_disk_that_fills_up_keeps_committed_rows_and_the_run_goes_on(small_disk, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)  # else nothing can happen
    monkeypatch.setattr(writer, "SECONDS_BETWEEN_COMMITS", 0)
    path = small_disk / "run.h5"
    with pytest.raises(DiskFullError, match=r"filled up while rows were written.*are safe"):
        extract(Model(), Filling(small_disk), path, batch_size=500)
    recording = actscope.open(path)
    assert SAMPLES // 3 < recording.samples < SAMPLES
    np.testing.assert_array_equal(recording["scaled"][:], rows(SAMPLES)[: recording.samples] * 2)
    assert check(path) == []
    (small_disk / "filler").unlink()
    assert extract(Model(), rows(SAMPLES), path, batch_size=500).complete
    reference = small_disk.parent / "reference.h5"
    extract(Model(), rows(SAMPLES), reference, batch_size=500)
    assert content(path) == content(reference)


def stream():
    """The same data as an iterable of unknown length."""
    for start in range(0, SAMPLES, 500):
        yield rows(SAMPLES)[start : start + 500]


def record(folder, data=None, **words):
    data = rows(SAMPLES) if data is None else data
    return extract(Model(), data, folder / "run.h5", batch_size=500, **words)


def sources(folder):
    return [folder.parent / "first.h5", folder.parent / "second.h5"]


JOBS = {
    "contiguous": lambda folder: record(folder, Filling(folder)),
    "zstd": lambda folder: record(folder, codec="zstd", statistics=True),
    "channel": lambda folder: record(folder, layout="channel"),
    "stream": lambda folder: record(folder, stream(), codec="gzip"),
    "merge": lambda folder: actscope.merge(sources(folder), folder / "run.h5"),
    "merge, contiguous": lambda folder: actscope.merge(
        sources(folder), folder / "run.h5", codec="none"
    ),
    "pack": lambda folder: actscope.pack(sources(folder)[0], folder / "run.h5", codec="gzip"),
}

ON_THE_COMMAND_LINE = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import actscope.cli
import test_full_disk
if sys.argv[1] == "contiguous":
    del os.posix_fallocate  # else nothing can happen
test_full_disk.commit_often()
job, folder = test_full_disk.JOBS[sys.argv[1]], Path(sys.argv[2])

@actscope.cli.cli.command()
def fill():
    job(folder)

sys.argv = ["actscope", "fill"]
actscope.cli.main()
"""


def commit_often():
    writer.SECONDS_BETWEEN_COMMITS = chunked_writer.SECONDS_BETWEEN_COMMITS = 0
    replanning.BYTES_AT_A_TIME = 20_000


def on_the_command_line(job, folder):
    """The job in a process of its own, where a crash of the HDF5 library would be seen."""
    command = [sys.executable, "-c", ON_THE_COMMAND_LINE, job, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def test_on_the_command_line_it_is_one_line_and_exit_code_2(small_disk):
    line = on_the_command_line("contiguous", small_disk)
    assert line.startswith("actscope: the disk filled up while rows were written")
    (left,) = [path for path in small_disk.iterdir() if path.name != "filler"] or [None]
    assert left is None or check(left) == []


@pytest.fixture
def recorded(tmp_path):
    """What is merged, and packed."""
    for path, part in zip(sources(tmp_path / "disk"), np.split(rows(SAMPLES), 2), strict=True):
        extract(Model(), part, path, batch_size=500, codec="zstd").close()


@pytest.mark.parametrize("free", [20_000, 300_000, 900_000])
@pytest.mark.parametrize("job", [job for job in JOBS if job != "contiguous"])
@pytest.mark.filterwarnings("ignore:.*read again and passed over")
def test_chunks_that_find_no_room_lose_nothing_and_the_same_call_goes_on(
    small_disk, recorded, job, free
):
    fill(small_disk, free)
    line = on_the_command_line(job, small_disk)
    assert "the disk filled up while" in line or "bytes and" in line  # is needed, and is free
    path = small_disk / "run.h5"
    data = rows(SAMPLES) * 2
    if any(left.name != "filler" for left in small_disk.iterdir()):
        with actscope.open(path) as recording:
            assert 0 < recording.samples < SAMPLES
            np.testing.assert_array_equal(recording["scaled"][:], data[: recording.samples])
        assert check(path) == []
    (small_disk / "filler").unlink()
    with JOBS[job](small_disk) as recording:
        assert recording.complete
        np.testing.assert_array_equal(recording["scaled"][:], data[: recording.samples])
        assert recording.samples == (SAMPLES // 2 if job == "pack" else SAMPLES)
    assert check(path) == []
    assert [left.name for left in small_disk.iterdir()] == ["run.h5"]


def test_a_disk_that_is_full_when_bytes_are_brought_to_it_is_told_of(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(DiskFullError, match=r"filled up while rows were written.*are safe"):
        extract(Model(), rows(50), tmp_path / "run.h5", codec="zstd")
    assert list(tmp_path.iterdir()) == []
