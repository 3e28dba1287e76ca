"""On a CPU, JAX writes large outputs into memory used before, and never into what is still held."""

import queue
import threading
import time

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

import actscope
from actscope import extraction
from actscope.errors import ModelError
from actscope.planning import plan_wanted
from actscope.protocol import Inputs
from actscope.registry import adapter_for
from actscope.selection import select
from alone import run_alone

if keras.config.backend() != "jax":
    pytest.skip("about JAX", allow_module_level=True)

import jax
from jax.experimental import io_callback

from actscope_keras import jax_compiling, jax_cpu

ROWS = 4


@pytest.fixture(autouse=True, scope="module")
def _all_outputs_are_large():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax_cpu, "RETURNED_WHEN_FREED", 1)
        yield


def doubling():
    """Passes its input through, shapes it anew, and doubles it: `reference` is all it computes."""
    inputs = keras.Input((2, 3), name="given")
    same = layers.Identity(name="same")(inputs)
    flat = layers.Flatten(name="flat")(same)
    doubled = layers.Rescaling(2.0, offset=1.0, name="doubled")(flat)
    return keras.Model(inputs, doubled)


def reference(data):
    flat = data.reshape(len(data), 6)
    return [data, data, flat, flat * 2 + 1, flat * 2 + 1]


EVERYTHING = ["given", "same", "flat", "doubled", "output"]


def compiled(model, data, layers="all", rows=ROWS, **words):
    trace = adapter_for(model).trace(model, Inputs((data[:rows],)))
    wanted = plan_wanted(select(trace.layers, layers), **words)
    return trace.compile(wanted, rows)


@pytest.fixture(scope="module")
def step():
    model = doubling()
    return compiled(model, np.zeros((ROWS, 2, 3), np.float32), EVERYTHING)


def batch(number):
    return np.random.default_rng(number).random((ROWS, 2, 3), np.float32)


def outputs(step, data):
    return step.fetch(step.launch(step.stage([data]))).outputs


def address(array):
    return array.__array_interface__["data"][0]


def assert_is_batch(arrays, number):
    for array, expected in zip(arrays, reference(batch(number)), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_what_is_held_stays_as_it_was(step):
    given = [batch(number) for number in range(12)]
    held = [outputs(step, data) for data in given]
    assert len({address(array) for arrays in held for array in arrays}) == 12 * 5
    for number, arrays in enumerate(held):
        assert_is_batch(arrays, number)
        np.testing.assert_array_equal(given[number], batch(number))


def test_what_is_let_go_is_used_again(step):
    held = outputs(step, batch(0))
    let_go = outputs(step, batch(1))
    addresses = [address(array) for array in let_go]
    del let_go
    later = outputs(step, batch(2))
    assert [address(array) for array in later] == addresses
    assert_is_batch(held, 0)
    assert_is_batch(later, 2)


def test_arrays_cannot_be_written_to(step):
    assert not any(array.flags.writeable for array in outputs(step, batch(0)))


@pytest.mark.parametrize(
    "look",
    [
        lambda array: array[1:3],
        lambda array: array[1:][:2].T.T.view(np.int32).view(np.float32),
        lambda array: memoryview(array)[1:3],
        lambda array: memoryview(array.base)[1:3],
        lambda array: np.lib.stride_tricks.as_strided(array[1:], (2, 2, 3)),
    ],
    ids=["slice", "views", "memoryview", "memoryview-of-base", "strides"],
)
def test_a_view_is_enough_to_hold_it(step, look):
    views = []
    for number in range(8):
        views.append(look(outputs(step, batch(number))[1]))
        outputs(step, batch(100 + number))
    for number, view in enumerate(views):
        np.testing.assert_array_equal(np.asarray(view), batch(number)[1:3])


def test_memory_given_back_too_early_is_not_overwritten(step):
    """What XLA promises of donated memory that is in use elsewhere; all else rests on it."""
    launched = step.launch(step.stage([batch(0)]))
    step_outputs, _ = launched.result()
    held = step.fetch(launched).outputs
    for output, lent in zip(step_outputs, step._lent.values(), strict=True):
        lent._spare.append(output)
    assert_is_batch(outputs(step, batch(1)), 1)
    assert_is_batch(held, 0)


@pytest.mark.parametrize("let_go", [1, 2])
def test_a_batch_fetched_twice(step, let_go):
    held = [outputs(step, batch(0)), outputs(step, batch(1))]
    launched = step.launch(step.stage([batch(2)]))
    twice = [step.fetch(launched).outputs, step.fetch(launched).outputs]
    del launched, twice[:let_go]
    later = [outputs(step, batch(number)) for number in (3, 4)]
    for arrays in twice:
        assert_is_batch(arrays, 2)
    for number, arrays in zip((0, 1, 3, 4), held + later, strict=True):
        assert_is_batch(arrays, number)


def eventually_alive(arrays):
    """Whether so many are: the thread that computed lets go of its own a little later."""
    deadline = time.monotonic() + 10
    while len(jax.live_arrays()) != arrays and time.monotonic() < deadline:
        time.sleep(0.001)
    return len(jax.live_arrays()) == arrays


def test_no_more_memory_is_kept_than_is_in_use():
    step = compiled(doubling(), batch(0), ["doubled"])
    before = len(jax.live_arrays())
    held = [outputs(step, batch(number)) for number in range(6)]
    for in_use, kept in [(6, 0), (5, 1), (4, 2), (3, 3), (2, 2), (1, 1), (0, 0)]:
        del held[in_use:]
        assert eventually_alive(before + in_use + kept)


def test_another_thread_lets_go(step):
    waiting, wrong = queue.Queue(maxsize=3), []

    def take():
        while (item := waiting.get()) is not None:
            number, arrays = item
            time.sleep(0.001 * (number % 3))
            try:
                assert_is_batch(arrays, number)
            except AssertionError as error:
                wrong.append(error)
            del item, arrays

    thread = threading.Thread(target=take)
    thread.start()
    ahead = step.launch(step.stage([batch(0)]))
    for number in range(200):
        following = step.launch(step.stage([batch(number + 1)]))
        waiting.put((number, step.fetch(ahead).outputs))
        ahead = following
    waiting.put(None)
    thread.join()
    assert not wrong


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["launch", "fetch", "view", "let go"]), st.integers(0))))
def test_in_any_order(step, doings):
    launched, held = [], []
    for number, (doing, which) in enumerate(doings):
        if doing == "launch":
            launched.append((step.launch(step.stage([batch(number)])), reference(batch(number))))
        elif doing == "fetch" and launched:
            one, expected = launched.pop(which % len(launched))
            held += zip(step.fetch(one).outputs, expected, strict=True)
            del one
        elif doing == "view" and held:
            array, expected = held.pop(which % len(held))
            held.append((array[1:], expected[1:]))
            del array
        elif doing == "let go" and held:
            del held[which % len(held)]
    for array, expected in held:
        np.testing.assert_array_equal(array, expected)


class Kinds(keras.Model):
    """Outputs of several dtypes, two of them of the same values."""

    def __init__(self):
        super().__init__()
        self.tell = layers.Lambda(lambda x: {"bool": x > 0.5, "int": ops.cast(x * 99, "int32")})
        self.first, self.second = layers.Rescaling(3.0), layers.Rescaling(3.0)

    def call(self, inputs):
        told = self.tell(inputs)
        return told, self.first(inputs), self.second(inputs)


def test_outputs_of_each_dtype():
    step = compiled(Kinds(), batch(0), ["lambda", "rescaling*"])
    held = [outputs(step, batch(number)) for number in range(5)]
    del held[1], held[2]
    later = [outputs(step, batch(number)) for number in (5, 6, 7)]
    for number, arrays in zip([0, 2, 4, 5, 6, 7], held + later, strict=True):
        data = batch(number)
        expected = [data > 0.5, (data * np.float32(99)).astype(np.int32), data * 3, data * 3]
        assert [array.dtype for array in arrays] == ["bool", "int32", "float32", "float32"]
        for array, values in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize(("dtype", "stored"), [("float16", "float16"), ("bfloat16", "uint16")])
def test_narrow_outputs(dtype, stored):
    import ml_dtypes

    step = compiled(doubling(), batch(0), ["doubled"], dtype=dtype)
    held = [outputs(step, batch(number))[0] for number in range(6) for _ in range(2)]
    del held[::2]
    held += [outputs(step, batch(number))[0] for number in range(6, 9)]
    kind = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    for number, array in enumerate(held):
        assert array.dtype == stored
        np.testing.assert_array_equal(array.view(kind), reference(batch(number))[3].astype(kind))


def test_gradients(tmp_path):
    data = np.random.default_rng(0).random((41, 2, 3), np.float32)
    square = {"gradients": lambda output: ops.sum(output**2, axis=1), "layers": ["flat"]}
    with actscope.extract(doubling(), data, tmp_path / "run.h5", batch_size=ROWS, **square) as run:
        flat = data.reshape(-1, 6)
        found = run["flat"].gradient[:]
    np.testing.assert_allclose(found, 4 * (2 * flat + 1), rtol=1e-6)


def test_recording_whole_batches_and_a_short_one(tmp_path):
    data = np.random.default_rng(0).random((203, 2, 3), np.float32)
    words = {"layers": ["same", "flat", "doubled"], "batch_size": ROWS, "statistics": True}
    with actscope.extract(doubling(), data, tmp_path / "run.h5", **words) as run:
        for path, expected in zip(words["layers"], reference(data)[1:], strict=False):
            np.testing.assert_array_equal(run[path][:], expected)
    assert actscope.verify(tmp_path / "run.h5") == []


def test_a_batch_of_fixed_size(tmp_path):
    inputs = keras.Input(batch_shape=(3, 2, 3))
    model = keras.Model(inputs, layers.Rescaling(2.0, name="doubled")(inputs))
    data = np.random.default_rng(0).random((31, 2, 3), np.float32)
    with actscope.extract(model, data, tmp_path / "run.h5") as run:
        np.testing.assert_array_equal(run["doubled"][:], data * 2)


ON_TWO_DEVICES = """
import keras, numpy as np, actscope
devices = keras.distribution.list_devices()
assert len(devices) == 2, devices
mesh = keras.distribution.DeviceMesh((2,), ["model"], devices)
layout = keras.distribution.LayoutMap(mesh)
layout["dense.*kernel"] = (None, "model")
keras.distribution.set_distribution(
    keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="model")
)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, name="dense")])
assert len(model.get_layer("dense").kernel.value.devices()) == 2
data = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
with actscope.extract(model, data, PATH, batch_size=4) as recording:
    kernel, bias = (np.asarray(value) for value in model.get_layer("dense").get_weights())
    np.testing.assert_allclose(recording["dense"][:], data @ kernel + bias, rtol=1e-5, atol=1e-5)
"""


def test_a_model_on_two_devices(tmp_path):
    two = "--xla_force_host_platform_device_count=2"
    run_alone(ON_TWO_DEVICES, tmp_path / "all.h5", XLA_FLAGS=two)


class Noted(layers.Layer):
    """Tells Python of every batch, in their order."""

    def __init__(self, note, **words):
        super().__init__(**words)
        self.note = note

    def call(self, inputs):
        io_callback(lambda first: self.note(float(first)), None, inputs[0, 0], ordered=True)
        return inputs * 2


def test_callbacks_run_in_the_order_of_the_samples(tmp_path):
    seen = []
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Noted(seen.append, name="noted")(inputs))
    data = np.arange(600, dtype=np.float32).reshape(200, 3)
    actscope.extract(model, data, tmp_path / "all.h5", batch_size=4)
    assert seen[-50:] == list(data[::4, 0])


@pytest.mark.parametrize("large_from", [1, 2**25])
def test_outputs_do_not_share_the_memory_of_the_data(monkeypatch, large_from):
    monkeypatch.setattr(jax_cpu, "RETURNED_WHEN_FREED", large_from)
    data = aligned(batch(0))
    arrays = outputs(compiled(doubling(), data, EVERYTHING), data)
    data[:] = -1
    assert_is_batch(arrays, 0)


def aligned(values):
    """The same in memory that JAX takes as its own, without a copy."""
    memory = np.empty(values.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    array = memory[start:][: values.nbytes].view(values.dtype).reshape(values.shape)
    array[:] = values
    return array


def test_the_file_is_laid_out_while_xla_compiles(monkeypatch, tmp_path):
    laid_out = threading.Event()
    compile_now = jax_compiling._compiled

    def compile_later(lowered):
        assert laid_out.wait(20)
        return compile_now(lowered)

    monkeypatch.setattr(jax_compiling, "_compiled", compile_later)
    open_writer = extraction.open_writer

    def noting(*args, **words):
        writer = open_writer(*args, **words)
        laid_out.set()
        return writer

    monkeypatch.setattr(extraction, "open_writer", noting)
    data = np.random.default_rng(0).random((9, 2, 3), np.float32)
    with actscope.extract(doubling(), data, tmp_path / "run.h5", layers="doubled") as run:
        np.testing.assert_array_equal(run["doubled"][:], reference(data)[3])


def test_what_does_not_compile_harms_no_file(monkeypatch, tmp_path):
    path = tmp_path / "run.h5"
    actscope.extract(doubling(), batch(0), path).close()
    before = path.read_bytes()

    def compile_nothing(_):
        raise RuntimeError("no code for that")

    monkeypatch.setattr(jax_compiling, "_compiled", compile_nothing)
    with pytest.raises(ModelError, match="after 0 samples: RuntimeError: no code for"):
        actscope.extract(doubling(), batch(1), path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
