import os
import subprocess
import sys
from math import prod
from pathlib import Path

import h5py
import numpy as np
import pytest

import actscope
from actscope.errors import DiskFullError, ModelError, OutputExistsError
from actscope.replacing import check_output
from actscope.store import disk, schema, space
from actscope.store.chunked_writer import ChunkedWriter
from actscope.store.writer import Writer
from chunked_recordings import chunked
from recordings import Example, output_info


def test_plain_h5py_reads_what_went_in(example):
    with h5py.File(example.write()) as file:
        assert file["rows"][0] == example.samples
        np.testing.assert_array_equal(file["sample"], np.arange(example.samples))
        np.testing.assert_array_equal(file["samples/input"], example.input)
        np.testing.assert_array_equal(file["samples/label"], example.labels)
        assert [name.decode() for name in file["samples/id"]] == list(example.ids)
        for path, array in example.arrays.items():
            group = file["layers/" + path.replace("/", ".")]
            assert group.attrs["path"] == path
            np.testing.assert_array_equal(group["output"], array)


def test_xarray_shows_named_dimensions_in_every_group(example, recwarn):
    import xarray

    path = example.write()
    with xarray.open_dataset(path, engine="h5netcdf", group="layers/conv2d") as dataset:
        assert dataset["output"].dims == ("sample", "y", "x", "channel")
        np.testing.assert_array_equal(dataset["output"], example.arrays["conv2d"])
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        assert {"/layers/tokens", "/samples"} <= set(tree.groups)
        dims = {dim for group in tree.subtree for dim in group.sizes}
    assert not any(dim.startswith("phony") for dim in dims)


def test_bfloat16_is_read_as_float32_by_h5py(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.array([[1.0, -2.5, 0.0, np.inf], [3e38, 1e-40, np.nan, -0.0]], np.float32)
    raw = values.astype(ml_dtypes.bfloat16)
    tensors, groups = schema.plan_layers([output_info("layer", (4,), 0, "bfloat16")])
    path = tmp_path / "bf.h5"
    with Writer(path, schema.RecordingPlan(2, tuple(tensors), groups, "{}")) as out:
        out.append([raw.view(np.uint16)])
        out.commit()
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["layers/layer/output"][:], raw.astype(np.float32))


def test_booleans_are_stored_as_bytes(tmp_path):
    values = np.array([[True, False], [False, False]])
    tensors, groups = schema.plan_layers([output_info("mask", (2,), 0, "bool")])
    path = tmp_path / "bool.h5"
    with Writer(path, schema.RecordingPlan(2, tuple(tensors), groups, "{}")) as out:
        out.append([values])
        out.commit()
    with actscope.open(path) as recording:
        np.testing.assert_array_equal(recording["mask"][:], values)


@pytest.mark.parametrize("opened", [Writer, ChunkedWriter])
@pytest.mark.parametrize("other", ["shape", "dtype", "rows", "fewer"])
def test_rows_that_were_not_planned_are_refused(opened, other, example):
    plan = example.plan if opened is Writer else chunked(example)
    with opened(example.path, plan) as out:
        out.append(example.rows(0, 5))
        out.commit()
        rows = example.rows(5, 9)
        if other == "shape":
            rows[-1] = np.concatenate([rows[-1], rows[-1]], axis=1)
        elif other == "dtype":
            rows[-1] = rows[-1].astype(np.float64)
        elif other == "rows":
            rows[-1] = rows[-1][:-1]
        else:
            rows = rows[:-1]
        with pytest.raises(ModelError, match=r"planned|are recorded"):
            out.append(rows)
        out.append(example.rows(5, 9))
        out.commit()
    assert not actscope.verify(example.path)
    with actscope.open(example.path) as recording:
        for path, array in example.arrays.items():
            np.testing.assert_array_equal(recording[path][:9], array[:9])


def test_rows_are_committed_only_by_commit(example):
    with Writer(example.path, example.plan) as out:
        out.append(example.rows(0, 5))
        assert out.committed == 0
        out.commit()
        assert out.committed == 5
        with h5py.File(example.path) as file:
            assert file["rows"][0] == 5
        out.append(example.rows(5, 9))
    with h5py.File(example.path) as file:
        assert file["rows"][0] == 5
        np.testing.assert_array_equal(
            file["layers/conv2d/output"][:5], example.arrays["conv2d"][:5]
        )


def test_committed_rows_survive_a_killed_process(tmp_path):
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from recordings import Example
from actscope.store.writer import Writer
example = Example(Path({str(tmp_path / "run.h5")!r}))
writer = Writer(example.path, example.plan)
writer.append(example.rows(0, 7))
writer.commit()
writer.append(example.rows(7, 10))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    import actscope

    example = Example(tmp_path / "run.h5")
    with actscope.open(example.path) as recording:
        assert recording.samples == 7
        assert not recording.complete
        for path, array in example.arrays.items():
            np.testing.assert_array_equal(recording[path][:], array[:7])


def test_an_existing_file_is_kept_unless_overwriting(example):
    example.path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="overwrite"):
        Writer(example.path, example.plan)
    assert example.path.read_bytes() == b"precious"


def test_a_file_to_be_replaced_stays_until_the_first_commit(example):
    example.path.write_bytes(b"precious")
    with Writer(example.path, example.plan, overwrite=True) as out:
        out.append(example.rows(0, 5))
    assert example.path.read_bytes() == b"precious"
    assert [path.name for path in example.path.parent.iterdir()] == ["run.h5"]
    with Writer(example.path, example.plan, overwrite=True) as out:
        out.append(example.rows(0, 5))
        out.commit()
        out.append(example.rows(5, 12))
        out.commit()
    with h5py.File(example.path) as file:
        assert file["rows"][0] == 12
        np.testing.assert_array_equal(file["layers/tokens/output"], example.arrays["tokens"])


def test_a_folder_is_no_output(example, tmp_path):
    with pytest.raises(OutputExistsError, match="is a folder"):
        check_output(tmp_path, overwrite=True)


def test_a_full_disk_is_refused_before_anything_is_written(example, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFullError, match=r"needs [\d,]+ bytes and .* has 1,000 free"):
        Writer(example.path, example.plan)
    assert list(example.path.parent.iterdir()) == []


def test_room_that_cannot_be_reserved_leaves_nothing(example, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(DiskFullError, match="cannot be reserved"):
        Writer(example.path, example.plan)
    assert list(example.path.parent.iterdir()) == []


def test_a_disk_that_fills_up_keeps_committed_rows(example, monkeypatch):
    out = Writer(example.path, example.plan)
    out.append(example.rows(0, 5))
    out.commit()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "_write_some", full)
    out.append(example.rows(5, 10))
    with pytest.raises(DiskFullError, match="committed so far are safe"):
        out.commit()
    out.close()
    with h5py.File(example.path) as file:
        assert file["rows"][0] == 5


def test_short_writes_are_continued(example, monkeypatch):
    real = disk._write_some

    def a_few_bytes(descriptor, buffers, offset):
        return real(descriptor, [buffers[0][:37]], offset)

    monkeypatch.setattr(disk, "_write_some", a_few_bytes)
    with h5py.File(example.write()) as file:
        np.testing.assert_array_equal(file["layers/conv2d/output"], example.arrays["conv2d"])


@pytest.mark.parametrize("missing", [("pwritev",), ("pwritev", "pwrite", "fdatasync")])
def test_systems_without_positioned_writes(example, monkeypatch, missing):
    for name in missing:
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    with h5py.File(example.write()) as file:
        np.testing.assert_array_equal(file["layers/tokens/output"], example.arrays["tokens"])


def test_more_batches_than_one_system_call_takes(tmp_path):
    example = Example(tmp_path / "many.h5", samples=1500)
    with h5py.File(example.write(step=1)) as file:
        np.testing.assert_array_equal(file["layers/conv2d/output"], example.arrays["conv2d"])


def test_large_datasets_start_at_a_page(tmp_path):
    example = Example(tmp_path / "aligned.h5", samples=200)
    with h5py.File(example.write()) as file:
        dataset = file["layers/conv2d/output"]
        assert prod(dataset.shape) * 4 > 4096
        assert dataset.id.get_offset() % 4096 == 0
