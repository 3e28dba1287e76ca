"""Memory lent for copies from a GPU; the call that needs a GPU is replaced."""

import gc
import threading

import keras
import numpy as np
import pytest

if keras.config.backend() != "torch":
    pytest.skip("for PyTorch alone", allow_module_level=True)

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actscope_keras import pinned
from actscope_keras.pinned import PinnedMemory
from actscope_keras.torch_tensors import to_host

SHAPE = torch.Size([3, 2**20])


@pytest.fixture
def reachable(monkeypatch):
    """The addresses of all blocks that a GPU could reach."""
    places = []

    def pin(block):
        place = block.ctypes.data
        places.append(place)
        return lambda: places.remove(place)

    monkeypatch.setattr(pinned, "pin", pin)
    return places


def test_what_is_held_is_left_alone_and_what_is_let_go_is_used_again(reachable):
    memory = PinnedMemory()
    held = to_host(memory.tensor(SHAPE, torch.float32).fill_(1))[1:, ::2]
    for number in range(2, 6):
        other = to_host(memory.tensor(SHAPE, torch.float32).fill_(number))
        assert (other == number).all()
        del other
    assert (held == 1).all()
    assert len(reachable) == 2


def test_memory_goes_when_the_last_holder_does(reachable):
    memory = PinnedMemory()
    array = to_host(memory.tensor(SHAPE, torch.float16).fill_(3))
    del memory
    gc.collect()
    assert len(reachable) == 1
    assert (array == 3).all()
    del array
    gc.collect()
    assert reachable == []


def test_no_more_is_kept_than_is_lent(reachable):
    memory = PinnedMemory()
    held = [to_host(memory.tensor(SHAPE, torch.float32)) for _ in range(5)]
    assert len(reachable) == 5
    while held:
        held.pop()
        assert len(reachable) <= 2 * len(held) + 1
    assert reachable == []


class Runtime:
    """CUDA's functions that are called, of which the first answers what it is told to."""

    class cudaError:  # noqa: N801 - as CUDA has it
        success = 0

    def __init__(self, answer):
        self.answer = answer
        self.calls = []

    def cudaHostRegister(self, place, size, flags):  # noqa: N802
        self.calls.append(("register", place, size, flags))
        return self.answer

    def cudaHostUnregister(self, place):  # noqa: N802
        self.calls.append(("unregister", place))

    def wait(self):
        self.calls.append("wait")


@pytest.mark.parametrize("answer", [0, 2])
def test_a_block_is_given_back_once_nothing_is_under_way(monkeypatch, answer):
    runtime = Runtime(answer)
    monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
    monkeypatch.setattr(torch.cuda, "synchronize", runtime.wait)
    block = np.zeros(10, np.uint8)
    registered = ("register", block.ctypes.data, 10, 0)
    if answer:
        with pytest.raises(MemoryError, match="smaller batch"):
            pinned.pin(block)
        assert runtime.calls == [registered]
    else:
        pinned.pin(block)()
        assert runtime.calls == [registered, "wait", ("unregister", block.ctypes.data)]


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.bool, torch.int16, torch.int64, torch.float8_e4m3fn]
)
def test_any_dtype_and_shape(reachable, dtype):
    values = torch.arange(2 * 3 * 2**20).remainder(2).neg().reshape(2, 3, 2**20).to(dtype)
    copy = PinnedMemory().tensor(values.shape, dtype).copy_(values)
    np.testing.assert_array_equal(to_host(copy), to_host(values))
    assert len(reachable) == 1
    if dtype == torch.int16:
        assert to_host(copy).min() == -1


@settings(max_examples=25)
@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=30))
def test_whatever_is_taken_and_let_go_in_any_order(steps):
    memory, held, number = PinnedMemory(), [], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pinned, "pin", lambda block: lambda: None)
        for step in steps:
            if step is None:
                number += 1
                array = to_host(memory.tensor(torch.Size([2**19]), torch.float32).fill_(number))
                held.append((number, array[7:]))
                del array
            elif held:
                one = threading.Thread(target=held.pop, args=(step % len(held),))
                one.start()
                one.join()
            assert all((array == value).all() for value, array in held)
