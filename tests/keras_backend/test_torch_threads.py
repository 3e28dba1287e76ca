"""The threads of PyTorch's passes: tried with made-up times, and set for real."""

import itertools
import time

import keras
import numpy as np
import pytest

if keras.config.backend() != "torch":
    pytest.skip("for PyTorch alone", allow_module_level=True)

import torch
from hypothesis import given
from hypothesis import strategies as st

import actscope
from actscope_keras import torch_threads
from actscope_keras.torch_threads import (
    HOPELESS,
    MEASURED,
    SOONEST,
    WARM_UP,
    ThreadsOfPass,
    Took,
    choose,
)
from threads import pytorch_threads


def chosen(threads, seconds, on_core, batches=200):
    """The threads of each batch, given what a number of them brings."""
    choice = choose(threads)
    used = [next(choice)]
    for _ in range(batches):
        used.append(choice.send(Took(seconds(used[-1]), on_core(used[-1]))))
    return used


def test_a_pass_that_nobody_disturbs_keeps_its_threads():
    assert set(chosen(8, lambda _: 1.0, lambda _: 0.9)) == {8}


def test_threads_are_given_up_as_long_as_that_is_faster():
    seconds = {16: 8.0, 8: 5.0, 4: 4.0, 2: 6.0, 1: 9.0}
    used = chosen(16, seconds.__getitem__, lambda _: 0.5)
    assert used[-1] == 4
    assert used[: WARM_UP + MEASURED] == [16] * (WARM_UP + MEASURED)
    assert 1 not in used


def test_no_more_are_given_up_once_nobody_disturbs():
    assert chosen(16, lambda threads: threads, lambda threads: 0.5 if threads > 8 else 1)[-1] == 8


def test_one_thread_is_the_least():
    assert chosen(3, lambda threads: threads, lambda _: 0.5)[-1] == 1
    assert set(chosen(1, lambda _: 1.0, lambda _: 0.1)) == {1}


def test_what_is_much_slower_is_soon_let_be():
    used = chosen(2, {2: 1.0, 1: 1.1 * HOPELESS}.__getitem__, lambda _: 0.5)
    assert used[-1] == 2
    assert used.count(1) <= SOONEST + 1
    assert chosen(2, {2: 1.0, 1: 1.2}.__getitem__, lambda _: 0.5).count(1) > SOONEST + 1


@given(
    st.integers(1, 64),
    st.dictionaries(st.integers(0, 6), st.floats(0.01, 100), min_size=7),
    st.floats(0, 1),
)
def test_whatever_batches_take_the_end_is_no_slower_than_the_beginning(threads, times, on_core):
    def seconds(count):
        return times[count.bit_length() - 1]

    used = chosen(threads, seconds, lambda _: on_core)
    assert all(1 <= count <= threads for count in used)
    assert seconds(used[-1]) <= seconds(threads) * (1 + 1e-9)
    assert used[-1] == used[-20]


@pytest.fixture
def two_threads():
    with pytorch_threads(2):
        yield


@pytest.mark.usefixtures("two_threads")
def test_outside_of_a_pass_the_threads_are_as_before():
    threads = ThreadsOfPass()
    during = []
    for _ in range(WARM_UP + 2 * MEASURED):
        with threads.set():
            during.append(torch.get_num_threads())
            time.sleep(0.002 * torch.get_num_threads())  # has no core meanwhile
        assert torch.get_num_threads() == 2
    assert during[0] == 2
    assert during[-1] == 1
    with pytest.raises(ValueError, match="wrong"), threads.set():
        raise ValueError("wrong")
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_what_is_between_two_runs_is_no_part_of_either(monkeypatch):
    told = []

    def noting(threads):
        while True:
            told.append((yield threads).seconds)

    monkeypatch.setattr(torch_threads, "choose", noting)
    monkeypatch.setattr(torch_threads, "PAUSE", 0.05)
    threads = ThreadsOfPass()
    for _ in range(2):
        for _ in range(3):
            with threads.set():
                pass
        time.sleep(0.1)
    assert len(told) == 4
    assert max(told) < 0.05


@pytest.mark.usefixtures("two_threads")
def test_a_recording_is_the_same_with_any_threads(tmp_path, monkeypatch):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.ReLU()]
    )
    data = np.random.default_rng(0).random((64, 8, 8, 3), np.float32)
    monkeypatch.setattr(torch_threads, "choose", lambda _: iter_of([2, 1, 1, 2]))
    with actscope.extract(
        model, data, tmp_path / "run.h5", layers="all", batch_size=4
    ) as recording:
        got = recording[model.layers[0].name][:]
    assert torch.get_num_threads() == 2
    wanted = model.layers[0](data)
    np.testing.assert_allclose(got, keras.ops.convert_to_numpy(wanted), rtol=1e-5, atol=1e-6)


def iter_of(counts):
    for count in itertools.cycle(counts):
        _ = yield count
