"""What a run will cost: the exact bytes, and no trace of the timed batches."""

from types import SimpleNamespace

import numpy as np
import pytest

import actscope
from actscope import estimating, registry
from actscope.errors import DataError, OutputExistsError
from actscope.estimating import steady_pace
from numpy_model import Adapter, Model, extract, rows


def estimate(model, data, path, **words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "adapters", lambda: {"numpy": Adapter()})
        return actscope.estimate(model, data, path, **{"batch_size": 4, **words})


@pytest.mark.parametrize("samples", [1, 4, 7, 30, 203, 1000])
def test_the_bytes_are_exact_and_nothing_is_left(tmp_path, samples):
    found = estimate(Model(), rows(samples), tmp_path / "run.h5")
    assert list(tmp_path.iterdir()) == []
    assert (found.samples, found.done, found.batch_size) == (samples, 0, min(4, samples))
    recording = extract(Model(), rows(samples), tmp_path / "run.h5")
    stored = [*(recording[name] for name in recording), *recording.inputs]
    assert found.bytes_total == sum(tensor.nbytes for tensor in stored)
    assert found.bytes_per_sample * samples == found.bytes_total
    assert found.seconds > 0
    assert found.samples_per_second > 0
    assert found.fits


def test_few_batches_of_many_are_run(tmp_path):
    model = Model()
    estimate(model, rows(4000), tmp_path / "run.h5")
    assert 8 <= model.batches <= 70


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_what_is_encoded_is_guessed_from_the_batches(tmp_path, codec):
    data = np.zeros((3000, 3), np.float32)
    found = estimate(Model(), data, tmp_path / "run.h5", codec=codec)
    assert list(tmp_path.iterdir()) == []
    assert found.bytes_total > 0


def test_an_unfinished_run_counts(tmp_path):
    from actscope.errors import ModelError

    path = tmp_path / "run.h5"
    with pytest.raises(ModelError):
        extract(Model(fail_at=10), rows(203), path)
    before = path.read_bytes()
    found = estimate(Model(), rows(203), path)
    assert found.done == actscope.open(path).samples > 0
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_keeps_a_run_from_starting_is_said(tmp_path):
    (tmp_path / "run.h5").write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        estimate(Model(), rows(5), tmp_path / "run.h5")
    with pytest.raises(DataError, match="pass samples="):
        estimate(Model(), iter([rows(5)]), tmp_path / "other.h5")
    with pytest.raises(DataError, match="lz4"):
        estimate(Model(), rows(5), tmp_path / "other.h5", codec="lz4")
    assert (tmp_path / "run.h5").read_bytes() == b"precious"


def test_the_pace_is_that_between_warming_up_and_the_last_batch():
    slow_start = np.cumsum([0, 9, 9, 9, 9, 9, *[2] * 20, 0])
    assert steady_pace(slow_start, [10] * 26) == 5
    done_in_pairs = np.repeat(np.arange(0, 48, 8), 2)[1:]  # two at once, in 8 seconds
    for count in range(6, 11):
        assert steady_pace(done_in_pairs[: count + 1], [10] * count) == 2.5
    launched_ahead = [0, 8, 12, 16, 20, 24, 24]  # the last was computed while none followed
    assert steady_pace(launched_ahead, [10] * 6) == 2.5
    assert steady_pace([5, 7, 9], [10, 6]) == 4


def test_what_is_done_once_counts_once(tmp_path, monkeypatch):
    clock, open_writer = SimpleNamespace(now=0.0), estimating.open_writer

    def lay_out(*words):
        clock.now += 100
        return open_writer(*words)

    monkeypatch.setattr(estimating, "open_writer", lay_out)
    monkeypatch.setattr(estimating, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    found = estimate(Model(), np.broadcast_to(rows(1), (100_000, 3)), tmp_path / "run.h5")
    assert 100 <= found.seconds < 101
