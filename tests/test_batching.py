import time

import numpy as np
import pytest

import actscope
import numpy_model
from actscope.batching import fastest, is_out_of_memory, suited, suited_to_accelerator
from actscope.errors import DataError, ModelError
from actscope.protocol import Fetched


class Clock:
    """Time that passes only where a step says so."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


class Step:
    def __init__(self, clock, seconds, size):
        self.clock, self.seconds, self.size = clock, seconds, size

    def stage(self, arrays):
        return arrays

    def launch(self, arrays):
        assert all(len(array) == self.size for array in arrays)
        self.clock.now += self.seconds

    def fetch(self, launched):
        return Fetched([])


def chosen(monkeypatch, seconds, samples=5000, bytes_per_sample=4, fits=10**9):
    clock = Clock(monkeypatch)

    def compile_step(size):
        if size > fits:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")
        return Step(clock, seconds(size), size)

    example = [np.zeros((3, 2), np.float32)]
    size, step = fastest(compile_step, example, samples, bytes_per_sample)
    assert step.size == size
    return size


def test_it_doubles_as_long_as_that_pays(monkeypatch):
    assert chosen(monkeypatch, lambda size: 1 + size / 1000) == 2048
    assert chosen(monkeypatch, lambda size: size / 1000) == 16
    assert chosen(monkeypatch, lambda size: max(0.1, size / 1000)) == 128


def test_it_stays_within_memory_samples_and_room(monkeypatch):
    assert chosen(monkeypatch, lambda size: 1.0, fits=100) == 64
    assert chosen(monkeypatch, lambda size: 1.0, samples=100) == 64
    assert chosen(monkeypatch, lambda size: 1.0, samples=7) == 7
    assert chosen(monkeypatch, lambda size: 1.0, bytes_per_sample=2**23) == 64
    with pytest.raises(ModelError, match="not even 16 samples"):
        chosen(monkeypatch, lambda size: 1.0, fits=1)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def broken(size):
        raise ValueError("wrong shape")

    with pytest.raises(ValueError, match="wrong shape"):
        fastest(broken, [np.zeros((3, 2))], 100, 4)
    try:
        raise ModelError("the model failed") from RuntimeError("CUDA out of memory. Tried 2 GiB")
    except ModelError as error:
        assert is_out_of_memory(error)
    assert is_out_of_memory(MemoryError())


def test_the_size_is_remembered_and_a_resume_keeps_it(tmp_path):
    data = numpy_model.rows(100)
    whole = numpy_model.extract(numpy_model.Model(), data, tmp_path / "a.h5", batch_size="auto")
    size = whole.provenance["batch-size"]
    assert size in (16, 32, 64, 100)
    path = tmp_path / "b.h5"
    with pytest.raises(ModelError):
        numpy_model.extract(numpy_model.Model(fail_at=3), data, path, batch_size=16)
    assert actscope.open(path).samples < 100
    finished = numpy_model.extract(numpy_model.Model(), data, path, batch_size="auto")
    assert finished.provenance["batch-size"] == 16
    np.testing.assert_array_equal(finished["scaled"][:], whole["scaled"][:])
    with pytest.raises(DataError, match="'auto'"):
        numpy_model.extract(numpy_model.Model(), data, tmp_path / "c.h5", batch_size="most")


@pytest.mark.parametrize(
    ("bytes_per_sample", "size"),
    [
        (0, 1024),
        (4, 1024),
        (32_768, 1024),
        (32_769, 512),
        (2**20, 32),
        (2**20 + 1, 32),
        (2**40, 32),
    ],
)
def test_small_layers_take_more_samples_at_a_time(bytes_per_sample, size):
    assert suited([bytes_per_sample]) == size
    assert suited([0, bytes_per_sample // 2, -(-bytes_per_sample // 2)]) == size


@pytest.mark.parametrize(
    ("bytes_of_layers", "bytes_per_sample", "size"),
    [
        ([3_211_264] * 175, 106_240, 256),  # ResNet50, averaged
        ([3_211_264] * 175, 21_174_272, 32),  # ResNet50, whole
        ([2**20, 2**21], 2**20, 512),
        ([2**20], 2**22, 128),
        ([4], 4, 1024),
        ([], 0, 1024),
        ([2**40], 4, 32),
    ],
)
def test_an_accelerator_takes_what_its_memory_and_the_hosts_hold(
    bytes_of_layers, bytes_per_sample, size
):
    assert suited_to_accelerator(bytes_of_layers, bytes_per_sample) == size


@pytest.mark.parametrize(("peak", "size"), [(None, 32), (0, 1024)])
def test_an_adapter_says_whether_the_model_is_on_an_accelerator(tmp_path, monkeypatch, peak, size):
    monkeypatch.setattr(numpy_model.Adapter, "peak_device_bytes", lambda *_: peak)
    monkeypatch.setattr("actscope.batching.BYTES_OF_LAYERS", 32)
    recording = numpy_model.extract(
        numpy_model.Model(), numpy_model.rows(2000), tmp_path / "run.h5", batch_size=None
    )
    assert recording.provenance["batch-size"] == size


def test_by_default_the_model_decides_and_a_resume_keeps_the_size(tmp_path):
    data = numpy_model.rows(3000)
    by_default = {"batch_size": None}
    for number, layers in enumerate(["all", "sum"]):  # all of its layers count
        path, words = tmp_path / f"{number}.h5", {"layers": layers, **by_default}
        found = numpy_model.extract(numpy_model.Model(), data, path, **words)
        assert found.provenance["batch-size"] == 1024
    few = numpy_model.extract(numpy_model.Model(), data[:5], tmp_path / "few.h5", **by_default)
    assert few.provenance["batch-size"] == 5
    path = tmp_path / "resumed.h5"
    with pytest.raises(ModelError):
        numpy_model.extract(numpy_model.Model(fail_at=3), data, path, batch_size=16)
    finished = numpy_model.extract(numpy_model.Model(), data, path, **by_default)
    assert finished.provenance["batch-size"] == 16
    np.testing.assert_array_equal(finished["sum"][:], found["sum"][:])
