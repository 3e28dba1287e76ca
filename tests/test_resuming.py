"""Runs that broke off go on from their last commit; runs that differ are refused."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress

import h5py
import numpy as np
import pytest

import actscope
import numpy_model
from actscope.errors import (
    DataError,
    MissingFileError,
    ModelError,
    OutputExistsError,
    ResumeError,
)
from actscope.store import checksums, chunking, opening
from actscope.store.checking import check
from actscope.store.writer import Writer
from numpy_model import Model, content, extract, rows
from recordings import Example, output_info

SCRIPT = [sys.executable, numpy_model.__file__]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(checksums, "BLOCK_BYTES", numpy_model.SMALL_BLOCK)
    monkeypatch.setattr(chunking, "BLOCK_BYTES", numpy_model.SMALL_BLOCK)


@pytest.fixture
def whole(tmp_path):
    (tmp_path / "whole").mkdir()
    return Example(tmp_path / "whole" / "run.h5").write()


@pytest.mark.parametrize("upto", range(1, 12))
def test_going_on_gives_the_same_bytes_from_any_row(example, whole, upto):
    example.write(upto)
    with Writer(example.path, example.plan) as writer:
        assert writer.committed == writer.written == upto
        writer.append(example.rows(upto, 12))
        writer.commit()
    assert example.path.read_bytes() == whole.read_bytes()
    assert check(example.path) == []


def test_going_on_twice_keeps_what_was_committed(example, whole):
    example.write(3)
    committed = [array[:3].tobytes() for array in example.rows(0, 12)]
    with Writer(example.path, example.plan) as writer:
        writer.append(example.rows(3, 8))
        writer.commit()
        writer.append(example.rows(8, 9))
    assert check(example.path) == []
    assert actscope.open(example.path).samples == 8
    with Writer(example.path, example.plan) as writer:
        writer.append(example.rows(8, 12))
        writer.commit()
    assert example.path.read_bytes() == whole.read_bytes()
    assert committed == [array[:3].tobytes() for array in example.rows(0, 12)]


def test_committed_rows_are_never_written_again(example):
    example.write(7)
    with h5py.File(example.path, "r+") as file:
        file["layers/conv2d/output"][2] = 5
    with Writer(example.path, example.plan) as writer:
        writer.append(example.rows(7, 12))
        writer.commit()
    assert (actscope.open(example.path)["conv2d"][2] == 5).all()
    assert [finding.place for finding in check(example.path)] == ["/layers/conv2d/output"]


def test_rows_whose_slot_was_cleared_are_summed_again(example, whole):
    example.write(7)
    with h5py.File(example.path, "r+") as file:
        file["checksums/slots"][:] = 0
        for position in range(4):
            file[f"checksums/{position}"][:2] = 0
    with Writer(example.path, example.plan) as writer:
        writer.append(example.rows(7, 12))
        writer.commit()
    assert example.path.read_bytes() == whole.read_bytes()


def test_a_finished_recording_and_a_foreign_file_are_not_gone_on_with(example):
    example.write()
    with pytest.raises(OutputExistsError):
        Writer(example.path, example.plan)
    assert list(example.path.parent.iterdir()) == [example.path]
    example.path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        Writer(example.path, example.plan)
    assert example.path.read_bytes() == b"precious"


def test_overwriting_starts_anew(example):
    example.write(7)
    with Writer(example.path, example.plan, overwrite=True) as writer:
        assert writer.committed == 0


def test_what_a_kill_before_the_first_commit_left_is_replaced(example, whole):
    opening.partial_path(example.path).write_bytes(b"half a layout")
    example.write(7)
    opening.partial_path(example.path).write_bytes(b"half a layout of a run that would overwrite")
    with Writer(example.path, example.plan) as writer:
        writer.append(example.rows(7, 12))
        writer.commit()
    assert example.path.read_bytes() == whole.read_bytes()
    assert list(example.path.parent.glob("*.partial")) == []


def other_tensors(plan):
    last = plan.tensors[-1]
    changed = dataclasses.replace(
        last, dtype="float32", shape=(7, 2), attributes={**last.attributes, "reduction": "mean"}
    )
    return dataclasses.replace(plan, tensors=(*plan.tensors[:-1], changed))


def fewer_tensors(plan):
    return dataclasses.replace(plan, tensors=plan.tensors[1:])


def other_layer(plan):
    groups = {**plan.groups, "layers/conv2d": {**plan.groups["layers/conv2d"], "path": "other"}}
    return dataclasses.replace(plan, groups=groups)


@pytest.mark.parametrize(
    ("change", "clauses"),
    [
        (lambda plan: dataclasses.replace(plan, samples=13), ["samples: 12 in the file, 13 in"]),
        (
            lambda plan: dataclasses.replace(plan, provenance='{"backend": "x", "batch-size": 3}'),
            ['backend: "none" in the file, "x" in this call', "batch-size: null in the file, 3"],
        ),
        (
            other_tensors,
            [
                "/layers/tokens/output shape: [7, 3] in the file, [7, 2] in this call",
                '/layers/tokens/output dtype: "float16" in the file, "float32" in this call',
                '/layers/tokens/output reduction: "none" in the file, "mean" in this call',
            ],
        ),
        (fewer_tensors, ["/samples/input: not in this call"]),
        (other_layer, ['/layers/conv2d/output path: "conv2d" in the file, "other" in this call']),
        (lambda plan: dataclasses.replace(plan, ids=()), ["ids: not the same"]),
        (lambda plan: dataclasses.replace(plan, labels=None), ["labels: not the same"]),
        (lambda plan: dataclasses.replace(plan, labels=plan.labels + 1), ["labels: not the same"]),
    ],
)
def test_every_difference_is_named_and_the_file_left_alone(example, change, clauses):
    example.write(7)
    before = example.path.read_bytes()
    with pytest.raises(ResumeError, match="holds 7 of 12 samples of another run") as refused:
        Writer(example.path, change(example.plan))
    for clause in clauses:
        assert clause in str(refused.value)
    assert example.path.read_bytes() == before
    assert list(example.path.parent.iterdir()) == [example.path]


def test_a_file_of_another_format_is_refused(example):
    example.write(7)
    with h5py.File(example.path, "r+") as file:
        file.attrs["encoding-version"] = "1.0.0"
        del file["checksums"]
    with pytest.raises(ResumeError, match=r'format: "1.0.0" in the file.*checksums: .* is missing'):
        Writer(example.path, example.plan)


def test_what_does_not_reach_the_values_may_differ(example):
    plans = [
        dataclasses.replace(
            example.plan,
            provenance=json.dumps(
                {"created": now, "software": {"h5py": now, "jax": "1"}, "platform": now}
            ),
            labels=np.where(np.arange(12) == 3, np.nan, 1.0),
        )
        for now in ("yesterday", "today")
    ]
    with Writer(example.path, plans[0]) as writer:
        writer.append(example.rows(0, 7))
        writer.commit()
    with Writer(example.path, plans[1]) as writer:
        assert writer.committed == 7
    with pytest.raises(ResumeError, match=r'software\.jax: "1" in the file, "2" in this call'):
        software = json.dumps({"software": {"jax": "2"}})
        Writer(example.path, dataclasses.replace(plans[1], provenance=software))


def test_many_differences_are_counted(tmp_path):
    from actscope.store import schema

    outputs = [output_info(f"layer_{number}", (2,), number) for number in range(30)]
    tensors, groups = schema.plan_layers(outputs)
    plan = schema.RecordingPlan(4, tuple(tensors), groups, "{}")
    with Writer(tmp_path / "a.h5", plan) as writer:
        writer.append([np.zeros((2, 2), np.float32)] * 30)
        writer.commit()
    fewer = dataclasses.replace(plan, tensors=plan.tensors[:5])
    with pytest.raises(ResumeError, match=r"/output: not in this call; 14 more\)"):
        Writer(tmp_path / "a.h5", fewer)


# Whole runs, with a model of NumPy alone.

SAMPLES = 43


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "reference" / "run.h5"
    extract(Model(), rows(SAMPLES), path)
    return content(path)


def check_unfinished(path):
    recording = actscope.open(path)
    assert 0 < recording.samples < SAMPLES
    assert recording.samples % numpy_model.BATCH_SIZE == 0
    np.testing.assert_array_equal(recording["scaled"][:], rows(SAMPLES)[: recording.samples] * 2)
    return recording.samples


def test_after_an_error_in_the_model(tmp_path, reference):
    path = tmp_path / "run.h5"
    with pytest.raises(ModelError, match="failed after 20 samples"):
        extract(Model(fail_at=6), rows(SAMPLES), path)
    assert check_unfinished(path) == 20
    with pytest.raises(ModelError, match="failed after 32 samples"):
        extract(Model(fail_at=4), rows(SAMPLES), path)
    model = Model()
    assert extract(model, rows(SAMPLES), path).complete
    assert model.batches == 3
    assert content(path) == reference


class Rows:
    """Data sliced like an array; raises at a row, once."""

    dtype = np.dtype(np.float32)
    shape = (SAMPLES, 3)

    def __init__(self, error=None, at=24):
        self.error, self.at = error, at
        self.read = []

    def __getitem__(self, key):
        self.read.append(key.start)
        if self.error and key.stop - key.start == numpy_model.BATCH_SIZE and key.start >= self.at:
            raise self.error
        return rows(SAMPLES)[key]


@pytest.mark.parametrize("error", [OSError("cannot read picture 24"), KeyboardInterrupt()])
def test_after_an_error_in_the_data_or_an_interrupt(tmp_path, reference, error):
    path = tmp_path / "run.h5"
    with pytest.raises(type(error)):
        extract(Model(), Rows(error), path)
    committed = check_unfinished(path)
    data = Rows()
    extract(Model(), data, path)
    assert content(path) == reference
    assert committed in data.read  # batches before it are not read again
    spread = set(np.linspace(0, SAMPLES - 1, 16).astype(int))
    assert set(data.read) & set(range(4, committed, 4)) <= spread


def test_generators_are_read_past_with_a_warning(tmp_path, reference):
    def batches(stop):
        yield from np.array_split(rows(SAMPLES), 9)[:stop]

    path = tmp_path / "run.h5"
    with pytest.raises(DataError, match="ended after 35 samples of 43"):
        extract(Model(), batches(7), path, samples=SAMPLES)
    assert check_unfinished(path) == 28
    with pytest.warns(UserWarning, match="after 28 samples: a generator .* read again"):
        recording = extract(Model(), batches(9), path, samples=SAMPLES)
    np.testing.assert_array_equal(recording["scaled"][:], rows(SAMPLES) * 2)


def test_arrays_are_not_warned_of(tmp_path):
    with pytest.raises(ModelError):
        extract(Model(fail_at=6), rows(SAMPLES), tmp_path / "run.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract(Model(), rows(SAMPLES), tmp_path / "run.h5")


@pytest.mark.parametrize(
    ("words", "difference"),
    [
        ({"model": Model(factor=3.0)}, "model.weights-sha256: "),
        ({"layers": "sum"}, "/layers/scaled/output: not in this call"),
        ({"batch_size": 5}, "batch-size: 4 in the file, 5 in this call"),
        ({"data": rows(50)}, "samples: 43 in the file, 50 in this call"),
        ({"data": rows(SAMPLES) + 1}, "data.sampled-sha256: "),
        ({"store_inputs": False}, "/samples/input: not in this call"),
        ({"labels": np.zeros(SAMPLES)}, "labels: not the same"),
    ],
)
def test_other_calls_are_refused(tmp_path, words, difference):
    path = tmp_path / "run.h5"
    with pytest.raises(ModelError):
        extract(Model(fail_at=6), rows(SAMPLES), path)
    before = path.read_bytes()
    with pytest.raises(ResumeError) as refused:
        extract(**{"model": Model(), "data": rows(SAMPLES), "path": path, **words})
    assert difference in str(refused.value)
    assert path.read_bytes() == before


WAYS = [
    {},
    {"statistics": True},
    {"codec": "zstd"},
    {"codec": "gzip", "layout": "channel", "statistics": True},
    {"codec": "zstd", "is_stream": True},
]


@pytest.mark.parametrize("words", WAYS, ids=str)
@pytest.mark.filterwarnings("ignore:.*read again and passed over")
def test_after_real_kills(tmp_path, words):
    """benchmarks/kill_soak.py does the same hundreds of times."""
    path, samples = tmp_path / "run.h5", 2000
    reference = tmp_path / "reference.h5"
    numpy_model.record(reference, samples, **words)
    kills = 0
    for seconds in (0.7, 1.2, 1.7):
        running = subprocess.Popen([*SCRIPT, path, str(samples), "0.008", json.dumps(words)])
        time.sleep(seconds)
        kills += running.poll() is None
        running.send_signal(signal.SIGKILL)
        running.wait()
        check_committed(path)
    assert kills
    with suppress(OutputExistsError):  # it was finished before it could be killed
        numpy_model.record(path, samples, **words)
    check_committed(path)
    if not words.get("codec"):
        assert content(path) == content(reference)
    one, two = (actscope.open(each)["scaled"].statistics for each in (path, reference))
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(two, name))
    assert {left.name for left in tmp_path.iterdir()} == {"run.h5", "reference.h5"}


def check_committed(path):
    try:
        recording = actscope.open(path)
    except MissingFileError:
        return
    data = rows(2000)[: recording.samples] * 2
    np.testing.assert_array_equal(recording["scaled"][:], data)
    np.testing.assert_array_equal(recording["scaled"].statistics.maximum, data.max(0))
    assert check(path) == []
