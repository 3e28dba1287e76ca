"""What a run will cost: the exact bytes, and no trace of the timed batches."""

import numpy as np
import pytest

import actscope
from actscope import registry
from actscope.errors import DataError, OutputExistsError
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
