"""Which passes become CUDA graphs; what needs a GPU is replaced, or skipped where there is none."""

import keras
import numpy as np
import pytest

if keras.config.backend() != "torch":
    pytest.skip("for PyTorch alone", allow_module_level=True)

import torch

import actscope
from actscope_keras import torch_graph
from actscope_keras.torch_graph import PASSES_BEFORE, Constants, GraphedPass, is_repeatable

CPU = torch.device("cpu")
DEVICE = torch.device("cuda:0") if torch.cuda.is_available() else CPU
BATCH = [torch.arange(6.0).reshape(3, 2)]
OLD = torch.zeros(3, 2)


def pass_of(function):
    """A pass as a step has it: what the function makes of the first input."""
    return lambda tensors: ([function(tensors[0])], [])


def changed_in_part(values):
    made = values * 2
    made[1:].add_(1)
    return made


REPEATABLE = {
    "a product": lambda values: values @ torch.ones(2, 2),
    "a number of the host": lambda values: values + torch.as_tensor(0.5),
    "numbers of the host": lambda values: values + torch.tensor([1.0, 2.0]),
    "a change of what it made": changed_in_part,
    "a normalization": lambda values: torch.nn.functional.layer_norm(values, (2,)),
}

UNREPEATABLE = {
    "a branch": lambda values: values if values.sum() > 0 else -values,
    "a number looked at": lambda values: values * values.sum().item(),
    "a size that depends on values": lambda values: values[values > 1],
    "random numbers": lambda values: values + torch.rand(3, 2),
    "dropout": lambda values: torch.nn.functional.dropout(values, 0.5),
    "an array of the host": lambda values: values + torch.from_numpy(np.ones((3, 2))),
    "other numbers every time": lambda values: values + torch.tensor(np.random.random()),
    "a change of another's tensor": lambda values: values + OLD.add_(1),
    "a change of a part of another's": lambda values: values + OLD[:1].mul_(2),
    "a change by name": lambda values: torch.add(values, 1, out=OLD).clone(),
    "a change of its input": lambda values: values.zero_(),
    "another device": lambda values: values.to("meta"),
}


def repeatable(function):
    run, constants = pass_of(function), Constants()
    with constants:
        run([BATCH[0].clone()])
    return is_repeatable(run, [BATCH[0].clone()], constants, CPU)


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("name", REPEATABLE)
def test_a_pass_that_may_become_a_graph(name, inference):
    with torch.inference_mode(inference):
        assert repeatable(REPEATABLE[name])


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("name", UNREPEATABLE)
def test_a_pass_that_may_not(name, inference):
    with torch.inference_mode(inference):
        assert not repeatable(UNREPEATABLE[name])


@pytest.mark.parametrize(
    "model",
    [
        lambda: keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3)),
        lambda: keras.Sequential([keras.Input((5, 3)), keras.layers.LSTM(4)]),
        lambda: keras.Sequential([keras.Input((5, 3)), keras.layers.Dropout(0.5)]),
    ],
)
def test_models_of_keras_may(model):
    built = model()
    values = torch.zeros((2, *built.input_shape[1:]), device=DEVICE)
    run, constants = pass_of(lambda _: built(values, training=False)), Constants()
    with torch.inference_mode():
        with constants:
            run([values])
        assert is_repeatable(run, [values], constants, DEVICE)


def test_constants_are_what_they_were_and_made_once():
    given = [0.5, 1, True, np.float64(2), np.float32(3), [1, 2], [1.0, 2.0], np.arange(3), []]
    with Constants():
        made = [[torch.as_tensor(one), torch.tensor(one)] for one in given for _ in range(2)]
        typed = torch.as_tensor(1, dtype=torch.float16)
    for one, some in zip(given, made[::2], strict=True):
        for tensor in some:
            assert torch.equal(tensor, torch.tensor(one))
            assert tensor.dtype == torch.tensor(one).dtype
    assert typed.dtype == torch.float16
    assert all(torch.equal(*pair) for pair in made)


def test_a_constant_that_is_changed_is_not_changed_for_the_next():
    with Constants():
        torch.as_tensor([1.0, 2.0]).add_(1)
        assert torch.as_tensor([1.0, 2.0]).tolist() == [1, 2]


@pytest.fixture
def graphs(monkeypatch):
    """The batches that graphs were launched with, where a graph is the pass itself."""
    launched = []

    def recorded(run, tensors, constants, device):
        inputs = [tensor.clone() for tensor in tensors]
        outputs = run(inputs)

        def replay():
            launched.append(inputs[0].clone())
            for own, new in zip(outputs[0], run(inputs)[0], strict=True):
                own.copy_(new)

        return torch_graph.Graph(replay, inputs, outputs, constants)

    monkeypatch.setattr(torch_graph, "recorded", recorded)
    return launched


def batches(count):
    return [[BATCH[0] + number] for number in range(count)]


def test_a_graph_takes_over_after_some_passes_and_its_outputs_are_the_callers(graphs):
    graphed = GraphedPass(pass_of(lambda values: values * 3), CPU)
    given = batches(PASSES_BEFORE + 3)
    returned = [graphed(batch) for batch in given]
    for (values,), (outputs, overflows) in zip(given, returned, strict=True):
        assert torch.equal(outputs[0], values * 3)
        assert overflows == []
    # Once to compare, and then in place of the pass.
    assert len(graphs) == 4
    assert all(map(torch.equal, graphs, (batch[0] for batch in given[PASSES_BEFORE - 1 :])))


def test_a_graph_that_returns_anything_else_is_dropped(graphs):
    calls = []

    def counting(values):
        calls.append(values)
        return values + torch.full((1,), float(len(calls)))

    graphed = GraphedPass(pass_of(counting), CPU)
    for batch in batches(PASSES_BEFORE + 3):
        graphed(batch)
    assert len(graphs) == 1


def test_not_a_number_is_the_same_as_itself(graphs):
    graphed = GraphedPass(pass_of(lambda values: values / 0), CPU)
    for batch in batches(PASSES_BEFORE + 1):
        graphed(batch)
    assert len(graphs) == 2


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def model_of(*layers):
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


MODELS = {
    "convolutions": lambda: model_of(
        keras.layers.Conv2D(8, 3, activation="gelu"),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dense(5, activation="softmax"),
    ),
    "constants": lambda: model_of(keras.layers.Rescaling(0.5, offset=-1), keras.layers.Flatten()),
    "a branch": lambda: model_of(
        keras.layers.Lambda(lambda x: x * 2 if bool((x.mean() > 0.5).item()) else x)
    ),
    "random numbers": lambda: model_of(
        keras.layers.Lambda(lambda x: x + 0 * torch.rand_like(x)), keras.layers.Flatten()
    ),
}


def waiting_unseen(values):
    torch.cuda.synchronize()
    return values * 2


def waiting_within(values):
    made = values * 2
    made[made > 3] = 3
    return made


MODELS["a wait that PyTorch does not see"] = lambda: model_of(keras.layers.Lambda(waiting_unseen))
MODELS["a wait within an operation"] = lambda: model_of(keras.layers.Lambda(waiting_within))
BECOME_GRAPHS = ("convolutions", "constants")


@needs_gpu
@pytest.mark.parametrize("words", [{}, {"dtype": "float16"}, {"reduce": "mean"}])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_recorded_is_what_each_batch_returns(tmp_path, name, words):
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    if "reduce" in words and len(model.output_shape) != 4:
        pytest.skip("nothing to average")
    count, size = 16 * 12 + 5, 16
    data = np.random.default_rng(0).random((count, 8, 8, 3), np.float32) * 4 - 1.5
    with actscope.extract(
        model, data, tmp_path / "run.h5", layers="output", batch_size=size, **words
    ) as recording:
        got = recording["output"][:]
    padded = np.concatenate([data, np.repeat(data[-1:], 11, axis=0)])
    returned = [
        keras.ops.convert_to_numpy(model(padded[start : start + size], training=False))
        for start in range(0, count, size)
    ]
    wanted = np.concatenate(returned)[:count]
    if "reduce" in words:
        wanted = wanted.mean((1, 2))
    tolerance = 2e-3 if "dtype" in words else 2e-6
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


@needs_gpu
def test_gradients_are_those_of_passes_that_are_no_graphs(tmp_path, monkeypatch):
    model = MODELS["convolutions"]()
    data = np.random.default_rng(0).random((16 * 12, 8, 8, 3), np.float32)
    found = []
    for passes in (PASSES_BEFORE, 1000):
        monkeypatch.setattr(torch_graph, "PASSES_BEFORE", passes)
        recording = actscope.extract(
            model, data, tmp_path / f"{passes}.h5", gradients="predicted", batch_size=16
        )
        found.append(recording[model.layers[0].name].gradient[:])
        recording.close()
    np.testing.assert_allclose(*found, rtol=1e-6, atol=1e-9)


@needs_gpu
@pytest.mark.parametrize("name", MODELS)
def test_which_passes_become_graphs_and_that_nothing_is_left_of_the_others(name):
    model = MODELS[name]()
    run = pass_of(lambda values: model(values, training=False))
    graphed = GraphedPass(run, DEVICE)
    before = torch.cuda.current_stream()
    with torch.inference_mode():
        for number in range(PASSES_BEFORE + 2):
            batch = torch.rand((4, 8, 8, 3), device="cuda") - 0.5 * (number % 2)
            expected = run([batch])[0][0]
            assert torch.equal(graphed([batch])[0][0], expected)
    assert (graphed._graph is not None) == (name in BECOME_GRAPHS)
    assert torch.cuda.current_stream() == before
    assert torch.nn.functional.dropout(torch.ones(9, device="cuda")).shape == (9,)
    another = torch.cuda.CUDAGraph()
    with torch.cuda.graph(another):
        made = batch + 1
    another.replay()
    assert torch.equal(made, batch + 1)
