"""Statistics that are kept while recording: with the rows or alone, committed with them."""

import dataclasses
import os
import sys
import weakref
from unittest import mock

import h5py
import numpy as np
import pytest

import actscope
from actscope import render
from actscope.errors import ActscopeError, DataError, FormatError, ModelError, OutputExistsError
from actscope.histogram import EDGES
from actscope.store import checksums, chunking
from actscope.store.chunking import stored_as
from actscope.store.writers import open_writer
from numpy_model import Model, extract, rows
from recordings import Example
from reportable import content
from tape import Tape, play, put

SAMPLES = 203


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(checksums, "BLOCK_BYTES", 1500)
    monkeypatch.setattr(chunking, "BLOCK_BYTES", 1500)


def check(found, values):
    """Statistics of `(N, C)` values against NumPy on the whole."""
    values = values.astype(np.float64)
    assert found.samples == len(values)
    np.testing.assert_allclose(found.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, values.var(0), rtol=1e-7)
    np.testing.assert_array_equal(found.minimum, values.min(0))
    np.testing.assert_array_equal(found.maximum, values.max(0))
    np.testing.assert_array_equal(found.zeros, (values == 0).sum(0))
    np.testing.assert_array_equal(found.histogram, np.histogram(values, EDGES)[0])
    best = np.argsort(-values, axis=0, kind="stable")[:9]
    np.testing.assert_array_equal(found.top_samples[: len(best)], best)
    np.testing.assert_array_equal(
        found.top_values[: len(best)], np.take_along_axis(values, best, axis=0)
    )


def stream(data, end=SAMPLES):
    for start in range(0, SAMPLES, 7):
        if start > end:
            raise OSError("the share is gone")
        yield data[start : start + 7]


STORAGES = [
    pytest.param(codec, known, store, id=f"{codec}-{known}-{store}")
    for codec in (None, "zstd")
    for known in (True, False)
    for store in (True, False)
]


@pytest.mark.parametrize(("codec", "known", "store"), STORAGES)
def test_statistics_are_those_of_the_whole(tmp_path, codec, known, store):
    data = rows(SAMPLES)
    data[5] = 0
    given = data if known else stream(data)
    words = {"codec": codec, "statistics": True, "store": store}
    recording = extract(Model(), given, tmp_path / "run.h5", **words)
    check(recording["scaled"].statistics, data * 2)
    check(recording["sum"].statistics, (data * 2).sum(1, keepdims=True))
    assert recording["scaled"].shape == (SAMPLES, 3)
    assert recording["scaled"].is_stored == store
    assert actscope.verify(tmp_path / "run.h5") == []
    if not store:
        with pytest.raises(ActscopeError, match="only the statistics of 'scaled' were recorded"):
            recording["scaled"][0]


@pytest.mark.parametrize(("codec", "known", "store"), STORAGES)
def test_a_run_that_broke_off_goes_on(tmp_path, codec, known, store):
    data = rows(SAMPLES)
    path = tmp_path / "run.h5"
    words = {"codec": codec, "statistics": True, "store": store}
    with pytest.raises((ModelError, OSError)):
        given = data if known else stream(data, 100)
        extract(Model(fail_at=26 if known else None), given, path, **words)
    part = actscope.open(path)
    assert 90 <= part.samples <= 105
    check(part["scaled"].statistics, (data * 2)[: part.samples])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # that a stream is read past
        whole = extract(Model(), data if known else stream(data), path, **words)
    check(whole["scaled"].statistics, data * 2)
    other = extract(Model(), data, tmp_path / "other.h5", codec=codec, statistics=True)
    for field in dataclasses.fields(other["scaled"].statistics):
        np.testing.assert_array_equal(
            getattr(whole["scaled"].statistics, field.name),
            getattr(other["scaled"].statistics, field.name),
        )


def test_plain_h5py_reads_them(tmp_path):
    data = rows(SAMPLES)
    extract(Model(), data, tmp_path / "run.h5", store=False)
    with h5py.File(tmp_path / "run.h5") as file:
        group = file["layers/scaled/statistics"]
        np.testing.assert_allclose(group["mean"], (data * 2).mean(0, dtype=float), rtol=1e-12)
        np.testing.assert_array_equal(group["maximum"], (data * 2).max(0))
        np.testing.assert_array_equal(file["statistics/edges"], EDGES)
        assert "output" not in file["layers/scaled"]
        assert file["layers/scaled"].attrs["path"] == "scaled"


def test_xarray_reads_the_file(tmp_path):
    xarray = pytest.importorskip("xarray")
    extract(Model(), rows(SAMPLES), tmp_path / "run.h5", statistics=True)
    found = xarray.open_dataset(
        tmp_path / "run.h5", engine="h5netcdf", group="layers/scaled/statistics"
    )
    assert found["top-values"].dims == ("rank", "channel")
    assert xarray.open_datatree(tmp_path / "run.h5", engine="h5netcdf")


def test_they_take_no_room_to_speak_of(tmp_path):
    extract(Model(), rows(20_000), tmp_path / "alone.h5", store=False, store_inputs=False)
    extract(Model(), rows(200), tmp_path / "few.h5", store=False, store_inputs=False)
    positions = 8 * (20_000 - 200)
    sizes = [(tmp_path / name).stat().st_size for name in ("alone.h5", "few.h5")]
    assert sizes[0] - sizes[1] < positions + 10_000


@pytest.mark.parametrize("stored", [0, 1])
def test_what_is_not_stored_is_let_go_at_once(tmp_path, stored):
    example = Example(tmp_path / "run.h5")
    tensors = example.plan.tensors
    plan = dataclasses.replace(
        example.plan, keeps_statistics=True, tensors=tensors[:stored], unstored=tensors[stored:]
    )
    with open_writer(example.path, plan) as writer:
        batch = [array.copy() for array in example.rows(0, 5)]
        unstored = [weakref.ref(array) for array in batch[stored:]]
        writer.append(batch)
        del batch
        assert unstored
        assert not any(array() is not None for array in unstored)


def test_pictures_and_pages_of_statistics_alone(tmp_path):
    example = Example(tmp_path / "run.h5")
    plan = dataclasses.replace(
        example.plan,
        keeps_statistics=True,
        tensors=example.plan.tensors[:1],
        unstored=example.plan.tensors[1:],
    )
    write(example, plan)
    recording = actscope.open(example.path)
    render.save(render.top(recording["conv2d"], channels=[0, 2]), tmp_path / "top.png")
    render.save(render.statistics(recording), tmp_path / "statistics.png")
    render.save(render.histogram(recording), tmp_path / "histogram.png")
    actscope.report(recording, tmp_path / "report.html")
    layers = content(tmp_path / "report.html")["layers"]
    assert "block/dense" in [layer["path"] for layer in layers]
    for tensor in (tensor for layer in layers for tensor in layer["tensors"]):
        assert (tensor["bytes"], tensor["pictures"]) == ("statistics", [])
        assert "not stored" in tensor["without"]
    assert "statistics" in recording._repr_html_()
    assert "conv2d" in recording["conv2d"]._repr_html_()


def test_a_page_of_a_run_of_unknown_length(tmp_path):
    data = rows(SAMPLES)
    with pytest.raises(OSError, match="share is gone"):
        extract(Model(), stream(data, 100), tmp_path / "run.h5")
    recording = actscope.open(tmp_path / "run.h5")
    assert recording.extent.endswith("of an unknown number")
    actscope.report(recording, tmp_path / "report.html")
    assert "of an unknown number" in (tmp_path / "report.html").read_text()


def test_words_that_contradict_each_other(tmp_path):
    for words in ({"statistics": False}, {"gradients": "predicted"}):
        with pytest.raises(DataError, match="store=False keeps the statistics"):
            extract(Model(), rows(5), tmp_path / "run.h5", store=False, **words)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda group: _replace(group, "mean", (4,)), "shape"),
        (lambda group: group.attrs.__delitem__("state-offset"), "state-offset"),
        (lambda group: _replace(group, "top-values", (2000, 3)), "more than 1000"),
        (lambda group: group.__delitem__("zeros"), "zeros is missing"),
    ],
)
def test_damaged_statistics_say_what_and_where(tmp_path, change, message):
    path = tmp_path / "run.h5"
    extract(Model(), rows(SAMPLES), path, store=False)
    with h5py.File(path, "r+") as file:
        change(file["layers/scaled/statistics"])
    with pytest.raises(FormatError, match=message):
        _ = actscope.open(path)["scaled"].statistics


def _replace(group, name, shape):
    del group[name]
    group.create_dataset(name, shape, "f8", data=np.zeros(shape))


BATCHES = (0, 3, 4, 5, 8, 10, 12)
COMMITS = (3, 5, 10, 12)


def write(example, plan, **words):
    with open_writer(example.path, plan, **words) as writer:
        done = writer.committed
        for stop in BATCHES[BATCHES.index(done) + 1 :]:
            writer.append(example.rows(done, stop))
            done = stop
            if stop in COMMITS:
                writer.commit()
        writer.complete()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and os.pwritev")
@pytest.mark.parametrize("codec", [None, "zstd"])
@pytest.mark.parametrize("store", [True, False])
def test_every_prefix_of_a_run_has_the_statistics_of_its_rows(
    tmp_path, tmp_path_factory, codec, store
):
    def plan_of(example):
        inputs, layers = example.plan.tensors[:1], example.plan.tensors[1:]
        plan = dataclasses.replace(
            example.plan,
            keeps_statistics=True,
            tensors=example.plan.tensors if store else inputs,
            unstored=() if store else layers,
        )
        return stored_as(plan, codec, "sample")

    example = Example(tmp_path / "run.h5")
    with Tape(tmp_path).recording() as tape:
        write(example, plan_of(example))
    other = Example(tmp_path_factory.mktemp("replayed") / "run.h5")
    without_disk = {"fsync": lambda _: None, "fdatasync": lambda _: None}
    for length in range(len(tape.operations) + 1):
        put(play(tape.operations[:length], {}), other.path.parent)
        _check_rows(other)
        try:
            with mock.patch.multiple(os, **without_disk):
                write(other, plan_of(other))
        except OutputExistsError:
            pass
        assert actscope.open(other.path).complete
        _check_rows(other)


def _check_rows(example):
    try:
        recording = actscope.open(example.path)
    except ActscopeError:
        return
    count = recording.samples
    for name in ("conv2d", "tokens"):
        values = example.arrays[name][:count].astype(np.float64)
        found = recording[name].statistics
        flat = values.reshape(-1, values.shape[-1])
        assert found.samples == count
        if count:
            np.testing.assert_allclose(found.mean, flat.mean(0), rtol=1e-9, atol=1e-12)
            np.testing.assert_array_equal(found.maximum, flat.max(0))
            assert found.histogram.sum() == flat.size


def test_statistics_of_a_run_that_goes_on_are_of_the_rows_that_were_there_or_refused(tmp_path):
    example = Example(tmp_path / "run.h5")
    plan = dataclasses.replace(example.plan, keeps_statistics=True)
    opened = []
    with open_writer(example.path, plan) as writer:
        for row in range(4):
            writer.append(example.rows(row, row + 1))
            writer.commit()
            assert actscope.verify(example.path) == []
            opened.append(actscope.open(example.path)["conv2d"])
            if row:  # one commit behind, which the other slot still holds
                found = opened[row - 1].statistics
                np.testing.assert_array_equal(
                    found.maximum, example.arrays["conv2d"][:row].max((0, 1, 2))
                )
        late = actscope.open(example.path)["tokens"]
        for row in range(4, 7):
            writer.append(example.rows(row, row + 1))
            writer.commit()
        with pytest.raises(FormatError, match=r"has grown from 4 to 7 rows.*open it again"):
            _ = late.statistics
