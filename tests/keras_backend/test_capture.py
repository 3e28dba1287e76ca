"""Every stored activation equals what an independently built reference gives."""

import ast
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
from keras.src.backend import core, nn

import actscope
import models
from actscope.errors import ActscopeError, DataError, ModelError, SelectionError, UnknownLayerError
from actscope.registry import adapter_for


def hooks():
    """Everything that a capture replaces while it is under way."""
    operations = [getattr(core, name) for name in ("scan", "while_loop", "cond", "vectorized_map")]
    calls = [keras.layers.Layer.__call__, keras.Operation.__call__]
    return [*calls, nn.softmax, nn.sigmoid, *operations]


def clear_names():
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)


@pytest.fixture(autouse=True)
def fresh():
    before = hooks()
    clear_names()
    yield
    assert hooks() == before


@pytest.mark.parametrize("make", models.ALL, ids=lambda make: make.__name__)
@pytest.mark.parametrize("batch_size", [4, 32])
def test_activations_equal_the_reference(tmp_path, make, batch_size):
    model, data, expected = make()
    recording = actscope.extract(
        model, data, tmp_path / "run.h5", layers="all", batch_size=batch_size
    )
    assert recording.complete
    assert recording.samples == 10
    assert set(expected) <= set(recording)
    # Nothing is recorded that is not part of the model's structure.
    if hasattr(model, "operations"):
        top = {entry.name for entry in model.operations}
        assert {path for path in recording if "/" not in path} <= top
    for path, reference in expected.items():
        outputs = recording[path].outputs
        references = reference if isinstance(reference, list) else [reference]
        assert len(outputs) == len(references)
        for output, array in zip(outputs, references, strict=True):
            assert output.shape == array.shape
            np.testing.assert_allclose(output[:], array, rtol=2e-5, atol=2e-6, err_msg=path)


def test_paths_shapes_and_order_of_a_plain_model(tmp_path):
    model, data, _ = models.sequential()
    recording = actscope.extract(model, data, tmp_path / "run.h5")
    assert list(recording) == [layer.name for layer in model.layers]
    assert recording["conv"].dims == ("sample", "y", "x", "channel")
    assert recording["conv"].data_format == "channels_last"
    assert recording["dense"].dims == ("sample", "channel")
    assert recording["conv"].class_name == "Conv2D"
    assert recording.provenance["backend"] == keras.config.backend()


def test_names_do_not_depend_on_the_backend():
    model, _, _ = models.recurrent()
    found = adapter_for(model).trace(model, None).layers
    assert [layer.path for layer in found if layer.is_boundary] == ["input_layer", "output"]
    assert [layer.path for layer in found if layer.outputs and not layer.is_boundary] == [
        "embedding",
        "lstm",
        "timed",
        "both/forward_gru",
        "both/backward_gru",
        "both",
        "out",
    ]
    assert [len(layer.outputs) for layer in found if layer.path == "lstm"] == [3]


@pytest.mark.parametrize(
    ("layer", "enclosing"),
    [
        ("timed/inner", "timed"),
        ("lstm/lstm_cell", "lstm"),
        ("both/forward_gru/gru_cell", "both/forward_gru"),
    ],
)
def test_layers_in_loops_name_the_layer_to_record(tmp_path, layer, enclosing):
    model, data, _ = models.recurrent()
    with pytest.raises(SelectionError, match=f"inside a loop.*{enclosing!r}"):
        actscope.extract(model, data, tmp_path / "run.h5", layers=layer)
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_never_runs_says_so(tmp_path):
    model, data, _ = models.subclassed()
    with pytest.raises(SelectionError, match="not called when the model runs"):
        actscope.extract(model, data, tmp_path / "run.h5", layers="unused")


def test_a_layer_mapped_over_an_axis_is_not_offered(tmp_path):
    class Mapping(keras.layers.Layer):
        def __init__(self, **words):
            super().__init__(**words)
            self.inner = keras.layers.Dense(3, name="inner")
            self.inner.build((None, 4))

        def call(self, inputs):
            return keras.ops.vectorized_map(lambda row: self.inner(row[None])[0], inputs)

        def compute_output_shape(self, shape):
            return (shape[0], 3)

    inputs = keras.Input((4,))
    model = keras.Model(inputs, Mapping(name="mapping")(inputs))
    data = np.random.default_rng(0).random((5, 4), np.float32)
    recording = actscope.extract(model, data, tmp_path / "run.h5", layers="all")
    assert list(recording) == ["mapping"]
    with pytest.raises(SelectionError, match=r"inside a loop.*'mapping'"):
        actscope.extract(model, data, tmp_path / "other.h5", layers="mapping/inner")


@pytest.mark.parametrize("way", ["scan", "while_loop", "fori_loop", "cond"])
def test_layers_in_a_loop_of_the_model_are_offered_nowhere(tmp_path, way):
    class Looping(keras.layers.Layer):
        def __init__(self, **words):
            super().__init__(**words)
            self.inner = keras.layers.Dense(4, name="inner")
            self.inner.build((None, 4))

        def call(self, inputs):
            if way == "scan":
                moved, _ = keras.ops.scan(
                    lambda state, _: (self.inner(state), None), inputs, None, 3
                )
                return moved
            if way == "while_loop":
                _, moved = keras.ops.while_loop(
                    lambda count, _: count < 3,
                    lambda count, state: (count + 1, self.inner(state)),
                    (0, inputs),
                )
                return moved
            if way == "fori_loop":
                return keras.ops.fori_loop(0, 3, lambda _, state: self.inner(state), inputs)
            enough = keras.ops.sum(inputs) > 1
            return keras.ops.cond(enough, lambda: self.inner(inputs), lambda: inputs)

        def compute_output_shape(self, shape):
            return shape

    inputs = keras.Input((4,))
    model = keras.Model(inputs, Looping(name="looping")(inputs))
    data = np.random.default_rng(0).random((5, 4), np.float32)
    recording = actscope.extract(model, data, tmp_path / "run.h5", layers="all")
    assert list(recording) == ["looping"]
    with pytest.raises(SelectionError, match=r"inside a loop.*'looping'"):
        actscope.extract(model, data, tmp_path / "other.h5", layers="looping/inner")


def test_the_selection_decides_what_is_stored(tmp_path):
    model, data, expected = models.nested()
    recording = actscope.extract(
        model, data, tmp_path / "run.h5", layers=["**/hidden", "out"], batch_size=3
    )
    assert list(recording) == ["block/inner/hidden", "block/hidden", "out"]
    for path in recording:
        np.testing.assert_allclose(recording[path][:], expected[path], rtol=2e-5, atol=2e-6)


def test_one_early_layer_alone(tmp_path):
    model, data, expected = models.sequential()
    recording = actscope.extract(model, data, tmp_path / "run.h5", layers="conv")
    assert list(recording) == ["conv"]
    np.testing.assert_allclose(recording["conv"][:], expected["conv"], rtol=2e-5, atol=2e-6)


def test_the_model_is_left_as_it_was(tmp_path):
    model, data, _ = models.sequential()
    model.compile("adam", "sparse_categorical_crossentropy")
    targets = np.zeros(10)
    model.fit(data, targets, verbose=0)
    before = [np.array(variable) for variable in model.variables]
    optimizer = [np.array(variable) for variable in model.optimizer.variables]
    predicted = model.predict(data, verbose=0)
    actscope.extract(model, data, tmp_path / "run.h5", layers="all")
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, np.array(variable))
    for old, variable in zip(optimizer, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(old, np.array(variable))
    np.testing.assert_allclose(model.predict(data, verbose=0), predicted, rtol=1e-6)
    model.fit(data, targets, verbose=0)
    actscope.extract(model, data, tmp_path / "again.h5", layers="all")


def test_a_stateful_layer_keeps_its_state(tmp_path):
    inputs = keras.Input(batch_shape=(5, 4, 3))
    model = keras.Model(inputs, keras.layers.LSTM(2, stateful=True, name="lstm")(inputs))
    data = np.random.default_rng(0).random((5, 4, 3), np.float32)
    model.predict(data, batch_size=5, verbose=0)
    before = [np.array(variable) for variable in model.variables]
    recording = actscope.extract(model, np.repeat(data, 3, axis=0)[:13], tmp_path / "run.h5")
    assert recording["lstm"].shape == (13, 2)
    assert recording.provenance["batch-size"] == 5  # the model takes no other
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, np.array(variable))


def test_dropout_and_training_are_off(tmp_path):
    model, data, expected = models.sequential()
    recording = actscope.extract(model, data, tmp_path / "run.h5", layers="dropout")
    np.testing.assert_allclose(recording["dropout"][:], expected["pool"], rtol=2e-5, atol=2e-6)


def test_nan_is_data(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    data = np.ones((9, 3), np.float32)
    data[3] = np.nan
    recording = actscope.extract(model, data, tmp_path / "run.h5", batch_size=4)
    assert np.isnan(recording["dense"][3]).all()
    assert np.isfinite(recording["dense"][[2, 4]]).all()


def test_an_unbuilt_subclassed_model_is_built_on_the_data(tmp_path):
    recording = actscope.extract(
        models.Subclassed(), np.ones((6, 6), np.float32), tmp_path / "run.h5"
    )
    assert list(recording) == ["first", "second", "head"]


def test_outputs_without_a_sample_axis_are_left_out_with_the_reason(tmp_path):
    class Positions(keras.layers.Layer):
        def call(self, inputs):
            return keras.ops.ones((inputs.shape[1], 2)), None

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.positions = Positions(name="positions")
            self.dense = keras.layers.Dense(2, name="dense")

        def call(self, inputs):
            positions, _ = self.positions(inputs)
            return keras.ops.matmul(self.dense(inputs)[:, None, :], keras.ops.transpose(positions))

    data = np.ones((5, 4), np.float32)
    assert list(actscope.extract(Model(), data, tmp_path / "a.h5", layers="all")) == ["dense"]
    with pytest.raises(SelectionError, match="no sample axis"):
        actscope.extract(Model(), data, tmp_path / "b.h5", layers="positions")


def test_attention_has_named_axes(tmp_path):
    inputs = keras.Input((6, 8))
    attended = keras.layers.MultiHeadAttention(2, 4, name="attention")(
        inputs, inputs, return_attention_scores=True
    )
    model = keras.Model(inputs, attended)
    data = np.random.default_rng(0).random((4, 6, 8), np.float32)
    recording = actscope.extract(model, data, tmp_path / "run.h5", layers="**")
    assert recording["attention/query"].dims == ("sample", "token", "head", "channel")
    assert recording["attention/softmax"].dims == ("sample", "head", "query", "key")
    np.testing.assert_allclose(recording["attention/softmax"][:].sum(-1), 1, rtol=1e-5)
    output, scores = recording["attention"].outputs
    assert output.dims == ("sample", "token", "channel")
    assert scores.dims == ("sample", "head", "query", "key")
    np.testing.assert_array_equal(scores[:], recording["attention/softmax"][:])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_low_precision_policies(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, name="dense")])
        data = np.random.default_rng(0).random((9, 6), np.float32)
        recording = actscope.extract(model, data, tmp_path / "run.h5", batch_size=4)
    finally:
        keras.config.set_dtype_policy("float32")
    assert recording["dense"].logical_dtype == policy.removeprefix("mixed_")
    kernel, bias = (np.array(weight) for weight in model.get_weights())
    np.testing.assert_allclose(recording["dense"][:], data @ kernel + bias, atol=0.05)


def test_another_thread_is_not_captured(tmp_path):
    model, data, _ = models.sequential()
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="conv")])
    stop = threading.Event()

    def meanwhile():
        while not stop.is_set():
            other(np.ones((2, 3), np.float32))

    thread = threading.Thread(target=meanwhile)
    thread.start()
    try:
        recording = actscope.extract(model, data, tmp_path / "run.h5", layers="all", batch_size=2)
    finally:
        stop.set()
        thread.join()
    assert list(recording) == [layer.name for layer in model.layers]
    assert len(recording["conv"].outputs) == 1


def test_two_extractions_at_once(tmp_path):
    made = [models.sequential(), models.subclassed()]
    results = {}

    def run(number):
        model, data, _ = made[number]
        results[number] = actscope.extract(
            model, data, tmp_path / f"{number}.h5", layers="all", batch_size=2
        )

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, (_, _, expected) in enumerate(made):
        for path, reference in expected.items():
            np.testing.assert_allclose(results[number][path][:], reference, rtol=2e-5, atol=2e-6)


def test_a_failing_model_leaves_no_hook_and_no_file(tmp_path):
    class Failing(keras.Model):
        def call(self, inputs):
            raise RuntimeError("this model is broken")

    with pytest.raises(ModelError, match=r"failed on data of shape \(N, 4\).*this model is broken"):
        actscope.extract(Failing(), np.ones((5, 4), np.float32), tmp_path / "run.h5")
    assert list(tmp_path.iterdir()) == []


def test_unknown_layers_and_wrong_data_leave_no_file(tmp_path):
    model, data, _ = models.sequential()
    with pytest.raises(UnknownLayerError, match="did you mean 'dense'"):
        actscope.extract(model, data, tmp_path / "run.h5", layers="dens")
    with pytest.raises(DataError, match=r"takes \(N, 12, 12, 1\)"):
        actscope.extract(model, data[:, :5], tmp_path / "run.h5")
    with pytest.raises(DataError, match="takes 1 inputs"):
        actscope.extract(model, [data, data], tmp_path / "run.h5")
    with pytest.raises(ModelError, match="no installed adapter knows it"):
        actscope.extract("model", data, tmp_path / "run.h5")
    for words in ({"batch_size": 0}, {"ids": ["a"]}, {"labels": [1, 2]}, {"samples": 11}):
        with pytest.raises(DataError):
            actscope.extract(model, data, tmp_path / "run.h5", **words)
    assert list(tmp_path.iterdir()) == []


def test_ids_labels_and_inputs_are_kept(tmp_path):
    model, data, _ = models.sequential()
    recording = actscope.extract(
        model,
        data,
        tmp_path / "run.h5",
        ids=[f"Bild {n} ü" for n in range(10)],
        labels=list("abcdefghij"),
        store_inputs=True,
    )
    assert recording.ids[3] == "Bild 3 ü"
    assert list(recording.labels[:2]) == ["a", "b"]
    np.testing.assert_array_equal(recording.inputs[0][:], data)


def test_inputs_are_kept_by_default_where_they_take_little_room(tmp_path):
    model, data, _ = models.sequential()
    assert actscope.extract(model, data, tmp_path / "a.h5", layers="conv").inputs
    assert not actscope.extract(model, data, tmp_path / "b.h5", layers="dense").inputs
    extracted = actscope.extract(model, data, tmp_path / "c.h5", layers="conv", store_inputs=False)
    assert not extracted.inputs


def test_an_existing_recording_is_kept_when_anything_is_wrong(tmp_path):
    model, data, _ = models.sequential()
    path = tmp_path / "run.h5"
    actscope.extract(model, data, path)
    before = path.read_bytes()
    with pytest.raises(ActscopeError, match="exists"):
        actscope.extract(model, data, path)
    with pytest.raises(ActscopeError):
        actscope.extract(model, data, path, layers="nothing", overwrite=True)

    def broken():
        yield data[:2]
        raise OSError("the disk with the data is gone")

    with pytest.raises(OSError, match="is gone"):
        actscope.extract(model, broken(), path, samples=10, batch_size=2, overwrite=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]
    assert actscope.extract(model, data[:4], path, overwrite=True).samples == 4


def test_provenance_tells_models_and_data_apart(tmp_path):
    model, data, _ = models.sequential()

    def origin(name, changed=data):
        return actscope.extract(model, changed, tmp_path / name, layers="conv").provenance

    first = origin("a.h5")
    assert first["model"]["weights-sha256"] == origin("b.h5")["model"]["weights-sha256"]
    assert first["data"] == origin("c.h5")["data"]
    assert first["model"]["configuration"]["class_name"] == "Sequential"
    assert first["software"]["keras"] == keras.__version__
    other = data.copy()
    other[0, 0, 0, 0] += 1
    assert first["data"] != origin("d.h5", other)["data"]
    weights = model.get_weights()
    weights[0][0, 0, 0, 0] += 1
    model.set_weights(weights)
    assert first["model"]["weights-sha256"] != origin("e.h5")["model"]["weights-sha256"]


def test_a_run_imports_no_other_framework(tmp_path):
    script = """
import sys
import keras, numpy as np, actscope
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
recording = actscope.extract(model, np.ones((4, 3), np.float32), sys.argv[1])
assert recording.provenance["model"]["configuration"]["class_name"] == "Sequential"
others = {"jax", "tensorflow", "torch"} - {keras.config.backend()}
print(sorted(others & set(sys.modules)))
"""
    before = "import sys, keras; print(sorted({'jax', 'tensorflow', 'torch'} & set(sys.modules)))"
    command = [sys.executable, "-c"]
    plain = subprocess.run([*command, before], capture_output=True, text=True, check=True)
    done = subprocess.run(
        [*command, script, str(tmp_path / "run.h5")], capture_output=True, text=True, check=True
    )
    already = set(ast.literal_eval(plain.stdout.splitlines()[-1]))
    assert set(ast.literal_eval(done.stdout.splitlines()[-1])) <= already
