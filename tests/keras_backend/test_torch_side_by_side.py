"""PyTorch on a CPU computes two batches at a time where no layer keeps anything, and only there."""

import ast
import functools
import inspect
import itertools
import os
import pkgutil
import threading
import time
from contextlib import nullcontext
from importlib import import_module

import keras
import numpy as np
import pytest
from keras import layers

from alone import run_alone
from threads import pytorch_threads

if keras.config.backend() != "torch":
    pytest.skip("about PyTorch", allow_module_level=True)

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import actscope
from actscope import keract
from actscope_keras.torch_side_by_side import (
    KEEPING_NOTHING,
    TOO_LARGE,
    SideBySideStep,
    _pool,
    _pool_of,
    keeps_nothing,
)


@pytest.fixture(autouse=True)
def _two_threads():
    with pytorch_threads(2):
        yield


@pytest.fixture
def passes(monkeypatch):
    """The threads that computed batches side by side, one for each batch."""
    seen = []
    original = SideBySideStep._pass

    def noted(self, staged):
        seen.append((threading.current_thread().name, torch.get_num_threads()))
        return original(self, staged)

    monkeypatch.setattr(SideBySideStep, "_pass", noted)
    return seen


def pictures(samples=50):
    return np.random.default_rng(0).normal(size=(samples, 9, 8, 3)).astype(np.float32)


def small_model(*between, **words):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((9, 8, 3)),
            layers.Conv2D(5, 3, name="conv", **words),
            *between,
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(),
            layers.Dense(4, activation="softmax", name="dense"),
        ]
    )


def test_every_layer_gives_what_predict_gives(tmp_path, passes):
    model = small_model(layers.BatchNormalization(name="normal"), activation="relu")
    data = pictures()
    with actscope.extract(model, data, tmp_path / "run.h5", batch_size=4) as recording:
        for name in ("conv", "normal", "pool", "dense"):
            upto = keras.Model(model.inputs, model.get_layer(name).output)
            expected = upto.predict(data, batch_size=4, verbose=0)
            np.testing.assert_allclose(recording[name][:], expected, rtol=1e-5, atol=1e-6)
    assert len(passes) == 13
    assert {threads for _, threads in passes} == {1}
    assert {name for name, _ in passes} <= {"actscope-pass_0", "actscope-pass_1"}


def test_threads_are_as_before(tmp_path, passes):
    torch.set_num_threads(6)
    actscope.extract(small_model(), pictures(), tmp_path / "run.h5", batch_size=4).close()
    assert torch.get_num_threads() == 6
    assert in_new_thread(torch.get_num_threads) == 6
    assert {threads for _, threads in passes} == {3}


def test_threads_of_the_process_are_as_before(tmp_path, passes):
    """They differ from those of the caller's thread where others have set theirs since."""
    torch.set_num_threads(6)
    in_new_thread(lambda: torch.set_num_threads(4))
    actscope.extract(small_model(), pictures(), tmp_path / "run.h5", batch_size=4).close()
    assert torch.get_num_threads() == 6
    assert in_new_thread(torch.get_num_threads) == 4
    assert {threads for _, threads in passes} == {3}


def in_new_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_recordings_leave_no_more_than_two_threads_behind(tmp_path):
    before = set(threading.enumerate())
    for number in range(4):
        path = tmp_path / f"{number}.h5"
        actscope.extract(small_model(), pictures(), path, batch_size=4).close()
    ours = [one for one in threading.enumerate() if one.name.startswith("actscope")]
    assert len(set(ours) - before) <= 2


AFTER_A_FORK = """
import os, time
import keras, numpy as np, torch, actscope
torch.set_num_threads(2)
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="dense")])
data = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
expected = data @ model.get_layer("dense").kernel.numpy()
def record(path):
    with actscope.extract(model, data, path, batch_size=4) as recording:
        np.testing.assert_allclose(recording["dense"][:], expected, rtol=1e-5, atol=1e-5)
record(PATH + ".parent")
child = os.fork()
if not child:
    record(PATH + ".child")
    os._exit(0)
for _ in range(600):
    found, status = os.waitpid(child, os.WNOHANG)
    if found:
        break
    time.sleep(0.1)
else:
    os.kill(child, 9)
    raise SystemExit("the child hangs")
assert status == 0, status
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="about systems that fork")
def test_a_process_that_was_forked_records_as_well(tmp_path):
    run_alone(AFTER_A_FORK, tmp_path / "run.h5")


def test_after_an_error_nothing_goes_on(tmp_path, monkeypatch):
    original, calls, under_way = SideBySideStep._pass, itertools.count(), set()

    def failing(self, staged):
        number = next(calls)
        if number == 4:
            raise RuntimeError("out of luck")
        under_way.add(number)
        time.sleep(0.3 if number == 5 else 0)
        result = original(self, staged)
        under_way.discard(number)
        return result

    monkeypatch.setattr(SideBySideStep, "_pass", failing)
    call = keras.layers.Layer.__call__
    with pytest.raises(actscope.ActscopeError, match="out of luck"):
        actscope.extract(small_model(), pictures(), tmp_path / "run.h5", batch_size=4)
    assert next(calls) > 5  # the next was launched before the error was told
    assert not under_way
    assert keras.layers.Layer.__call__ is call


def test_an_error_is_told_with_the_samples_before_it(tmp_path, monkeypatch):
    original, calls = SideBySideStep._pass, []

    def failing(self, staged):
        calls.append(1)
        if len(calls) > 3:
            raise RuntimeError("out of luck")
        return original(self, staged)

    monkeypatch.setattr(SideBySideStep, "_pass", failing)
    with pytest.raises(actscope.ActscopeError, match="12 samples: RuntimeError: out of luck"):
        actscope.extract(small_model(), pictures(), tmp_path / "run.h5", batch_size=4)


class Adding(layers.Layer):
    """Adds to its input the one that another layer got last."""

    def __init__(self, other):
        super().__init__(name="adding")
        self.other = other

    def call(self, inputs):
        return inputs + self.other.kept

    def compute_output_shape(self, input_shape):
        return input_shape


class Remembering(layers.Layer):
    """Keeps its input on itself."""

    def call(self, inputs):
        self.kept = inputs
        return inputs * 2


class Doubling(keras.Operation):
    """An operation of somebody else's making."""

    def call(self, x):
        return x * 2

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


class Subclassed(keras.Model):
    """A model that may do anything."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2, name="dense")

    def call(self, inputs):
        return self.dense(inputs)


class OwnPolicy(keras.DTypePolicy):
    """A policy sees what layers are given."""


def doubled(x):
    return x * 2


@functools.wraps(keras.activations.relu)
def passing_for_relu(x):
    return x * 2


def functional(make):
    inputs = keras.Input((9, 8, 3))
    return keras.Model(inputs, make(inputs))


def with_its_own(name):
    model = small_model()
    layer = model.get_layer("conv")
    setattr(layer, name, getattr(layer, name))
    return model


def hooked(register, name="conv"):
    model = small_model()
    getattr(model.get_layer(name) if name else model, register)(lambda *_: None)
    return model


def test_what_a_layer_keeps_is_of_the_same_batch(tmp_path, passes):
    remembering = Remembering(name="remembering")
    model = small_model(remembering, layers.ReLU(), Adding(remembering))
    data = pictures(400)
    with actscope.extract(model, data, tmp_path / "run.h5", batch_size=4) as recording:
        conv = recording["conv"][:]
        np.testing.assert_allclose(recording["adding"][:], np.maximum(conv * 2, 0) + conv)
    assert not passes


PURE = {
    "sequential": small_model,
    "an operation": lambda: functional(lambda x: keras.ops.relu(layers.Conv2D(3, 3)(x)) + 1),
    "nested": lambda: functional(small_model()),
    "an activation by name": lambda: small_model(layers.Activation("gelu")),
    "residual": lambda: functional(lambda x: layers.Add()([layers.Conv2D(3, 1)(x), x])),
}

IMPURE = {
    "a layer of its own": lambda: small_model(Remembering()),
    "an operation of its own": lambda: functional(Doubling()),
    "an activation of its own": lambda: small_model(activation=doubled),
    "an activation in C": lambda: small_model(activation=torch.relu),
    "an activation that passes for Keras's": lambda: small_model(activation=passing_for_relu),
    "an activation that is a layer's call": lambda: small_model(activation=Remembering().__call__),
    "a policy of its own": lambda: small_model(dtype=OwnPolicy("float32")),
    "an activity regularizer": lambda: small_model(activity_regularizer=doubled),
    "a lambda": lambda: small_model(layers.Lambda(lambda x: x)),
    "a subclass": Subclassed,
    "nested": lambda: functional(small_model(Remembering())),
    "a call of its own": lambda: with_its_own("call"),
    "a loop": lambda: functional(layers.TimeDistributed(layers.Dense(2))),
    "a function that is mapped": lambda: functional(lambda x: keras.ops.map(doubled, x)),
    "a function that is vectorized": lambda: functional(
        lambda x: keras.ops.vectorized_map(doubled, x)
    ),
    "a hook": lambda: hooked("register_forward_hook"),
    "a hook before": lambda: hooked("register_forward_pre_hook"),
    "a hook of the model": lambda: hooked("register_forward_hook", None),
    "a mask of its own": lambda: with_its_own("compute_mask"),
}


@pytest.mark.parametrize("name", PURE)
def test_models_that_keep_nothing(name):
    assert keeps_nothing(PURE[name]())


@pytest.mark.parametrize("name", IMPURE)
def test_models_that_may_keep_something(name, tmp_path, passes):
    model = IMPURE[name]()
    assert not keeps_nothing(model)
    actscope.extract(model, pictures(8), tmp_path / "run.h5", batch_size=4).close()
    assert not passes


def test_a_class_whose_call_was_replaced(monkeypatch):
    model = small_model(layers.ReLU())
    assert keeps_nothing(model)
    own = layers.ReLU.call

    @functools.wraps(own)
    def call(self, inputs):
        return own(self, inputs)

    monkeypatch.setattr(layers.ReLU, "call", call)
    assert not keeps_nothing(model)


def test_where_no_thread_can_be_started(tmp_path, passes, monkeypatch):
    """It is waited for nobody, and the process's threads are as before."""

    def refusing(self):
        if self.name.startswith("actscope-pass_1"):
            raise RuntimeError("can't start new thread")
        return start(self)

    start = threading.Thread.start
    _pool.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", refusing)
    model, data = small_model(), pictures()
    with actscope.extract(model, data, tmp_path / "run.h5", batch_size=4) as recording:
        np.testing.assert_allclose(recording["dense"][:], model.predict(data, verbose=0), rtol=1e-4)
    assert not passes
    assert in_new_thread(torch.get_num_threads) == 2


def test_pools_made_at_once_leave_the_threads_of_the_process():
    for _ in range(5):
        _pool.cache_clear()
        together = [threading.Thread(target=_pool_of, args=(4,)) for _ in range(4)]
        for thread in together:
            thread.start()
        for thread in together:
            thread.join()
        assert in_new_thread(torch.get_num_threads) == 2


def test_hooks_for_all_modules(tmp_path, passes):
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        actscope.extract(small_model(), pictures(8), tmp_path / "run.h5", batch_size=4).close()
    finally:
        hook.remove()
    assert not passes


def test_a_step_that_is_kept_looks_each_time(passes):
    """A hook that is registered between two calls, and a setting of the thread."""
    model, data = small_model(), pictures(8)
    before = keract.get_activations(model, data, "conv")["conv"]
    assert passes
    passes.clear()
    with torch.autocast("cpu", torch.bfloat16):
        narrow = keract.get_activations(model, data, "conv")["conv"]
    assert not passes
    assert np.abs(narrow - before).max() > 1e-4
    kept = []
    model.get_layer("conv").register_forward_hook(lambda _, __, output: kept.append(output))
    after = keract.get_activations(model, data, "conv")["conv"]
    assert not passes
    assert kept
    np.testing.assert_array_equal(after, before)


class Noting(TorchDispatchMode):
    """A setting of the thread: it sees the operations there."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "where", ["autocast", "dispatch", "device", "stateless", "one thread", "plain"]
)
def test_settings_of_the_callers_thread_hold(where, tmp_path, passes):
    settings = {
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "dispatch": Noting,
        "device": lambda: torch.device("cpu"),
        "stateless": keras.StatelessScope,
        "one thread": nullcontext,
        "plain": nullcontext,
    }
    if where == "one thread":
        torch.set_num_threads(1)
    model, data = small_model(), pictures()
    with settings[where]():
        expected = model.predict(data, batch_size=4, verbose=0)
        with actscope.extract(model, data, tmp_path / "run.h5", batch_size=4) as recording:
            np.testing.assert_allclose(recording["dense"][:], expected, rtol=1e-5)
    assert bool(passes) == (where == "plain")


def test_gradients_and_large_layers_come_one_batch_at_a_time(tmp_path, passes):
    model = small_model()
    actscope.extract(
        model, pictures(8), tmp_path / "gradients.h5", batch_size=4, gradients=lambda y: y.sum(-1)
    ).close()
    wide = keras.Sequential(
        [keras.Input((1,)), layers.Dense(TOO_LARGE // 16), layers.Dense(1, name="last")]
    )
    data = np.ones((8, 1), np.float32)
    actscope.extract(wide, data, tmp_path / "wide.h5", layers="last", batch_size=4).close()
    assert not passes
    actscope.extract(wide, data, tmp_path / "less.h5", layers="last", batch_size=2).close()
    assert len(passes) == 4


def modules():
    """All of Keras's that are said to keep nothing."""
    for package in ("keras.src.layers", "keras.src.activations"):
        for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if found.name.startswith(KEEPING_NOTHING) and not found.name.endswith("_test"):
                yield import_module(found.name)


def of_self(node, context):
    """The name of an attribute of `self` that is used in this way, if it is one."""
    is_attribute = isinstance(node, ast.Attribute) and isinstance(node.ctx, context)
    is_own = is_attribute and isinstance(node.value, ast.Name) and node.value.id == "self"
    return node.attr if is_own else None


def test_the_calls_of_these_layers_set_nothing():
    """From `call` through every method of the class that it comes to."""
    looked_at = 0
    for module in modules():
        for one in ast.walk(ast.parse(inspect.getsource(module))):
            if not isinstance(one, ast.ClassDef):
                continue
            methods = {m.name: m for m in one.body if isinstance(m, ast.FunctionDef)}
            ahead, seen = ["call"], set()
            while ahead:
                name = ahead.pop()
                if name in seen or name not in methods:
                    continue
                seen.add(name)
                nodes = list(ast.walk(methods[name]))
                assert not [n for n in nodes if of_self(n, ast.Store)], (module, one.name, name)
                ahead += [found for n in nodes if (found := of_self(n, ast.Load))]
                looked_at += 1
    assert looked_at > 50
