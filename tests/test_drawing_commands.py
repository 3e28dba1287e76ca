"""The commands below `actscope render`: the same words as in Python, and one-line errors."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import actscope
from actscope import render
from actscope.cli import cli
from actscope.drawing import commands, statistics_commands
from actscope.errors import ActscopeError, OutputExistsError
from actscope.recorded import listed_name, tensor_named
from actscope.render.file_names import safe_part
from rendered import write_arrays

random = np.random.default_rng(0)
ARRAYS = {
    "conv": random.random((6, 6, 7, 300)).astype(np.float32),
    "lstm": random.normal(size=(6, 9, 4)).astype(np.float32),
    "weights": random.random((6, 3, 4, 4)).astype(np.float32),
    "volume": random.random((6, 3, 6, 7, 2)).astype(np.float32),
    "dense": random.normal(size=(6, 5)).astype(np.float32),
}
PYTHON_ONLY = {  # arrays, and what commands ask for otherwise
    "heatmap": {"input"},
    "vector": {"scale"},
    "top": {"channel"},
    "embedding": {"labels"},
}
IMAGES = random.random((6, 12, 14, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    axes = {"weights": ("head", "query", "key")}
    changed = {name: array + np.float32(0.5) for name, array in ARRAYS.items()}
    write_arrays(folder / "a.h5", ARRAYS, axes, inputs=(IMAGES,)).close()
    write_arrays(folder / "b.h5", changed, axes).close()
    return folder / "a.h5", folder / "b.h5"


def run(files, output, *words):
    a, b = files
    named = [{"A": str(a), "B": str(b)}.get(word, word) for word in words]
    return CliRunner().invoke(cli, ["render", *named, "-o", str(output)])


@pytest.mark.parametrize(
    "words",
    [
        ["grid", "A", "conv", "--channel", "3", "--samples", "0:4"],
        ["grid", "A", "conv", "--channel", "3", "--samples", "digit-1,4"],
        ["grid", "A", "conv", "--sort", "--page", "2"],
        ["heatmap", "A", "conv", "--scale", "symmetric"],
        ["sequence", "A", "lstm", "--sample", "digit-3", "--scale", "channel"],
        ["attention", "A", "weights", "--tokens", "a b c d", "--cmap", "magma"],
        ["attention", "A", "weights", "--head", "2"],
        ["attention", "A", "weights", "--merge", "mean"],
        ["volume", "A", "volume", "--channel", "1"],
        ["volume", "A", "volume", "--merge", "l2", "--scale", "shared"],
        ["heatmap", "A", "conv", "--interpolation", "nearest", "--alpha", "0.3"],
        ["vector", "A", "dense", "--tile", "--cmap", "magma"],
        ["flow", "A", "--sample", "-1"],
        ["compare", "A", "B", "lstm", "--sample", "2"],
    ],
)
def test_every_command_draws(files, tmp_path, words):
    output = tmp_path / "picture.png"
    done = run(files, output, *words)
    assert done.exit_code == 0, done.exception
    assert done.output.strip() == str(output)
    with Image.open(output) as image:
        assert image.width > 200


@pytest.mark.parametrize("command", [*commands.COMMANDS, *statistics_commands.COMMANDS])
def test_commands_have_the_options_of_their_functions(command):
    parameters = inspect.signature(getattr(render, command.name)).parameters
    options = {parameter.name for parameter in command.params}
    renamed = {"layer_a": "layer", "layer_b": "layer", "recording": "file", "path": "output"}
    asked = {renamed.get(name, name) for name in parameters} - PYTHON_ONLY.get(command.name, set())
    assert asked - {"ax", "figure"} <= options


@pytest.mark.parametrize("name", ["conv2d gradient", "block/shared (call 1)", "block/shared"])
def test_layers_are_called_as_info_calls_them(tmp_path, name):
    file = Path(__file__).parent / "data" / "recording-1.2.0.h5"
    done = CliRunner().invoke(cli, ["info", str(file)])
    assert f"\n{name} " in done.output
    with actscope.open(file) as recording:
        expected = tensor_named(recording, name)
        assert listed_name(expected) == name
        render.save(render.grid(expected), tmp_path / "expected.png")
    done = run((file, file), tmp_path / "picture.png", "grid", "A", name)
    assert done.exit_code == 0
    assert (tmp_path / "picture.png").read_bytes() == (tmp_path / "expected.png").read_bytes()
    each = CliRunner().invoke(
        cli, ["render", "grid", str(file), name, "--each", "-o", str(tmp_path / "all")]
    )
    assert each.exit_code == 0
    (picture,) = (tmp_path / "all").iterdir()
    assert picture.name == f"{safe_part(name)}-0-first.png"
    assert picture.read_bytes() == (tmp_path / "expected.png").read_bytes()


@pytest.mark.parametrize("layer", ["lstm", "dense"])
def test_animations_are_written(files, tmp_path, layer):
    output = tmp_path / "film.gif"
    done = run(files, output, "animate", "A", layer, "--samples", "0:3", "--fps", "8")
    assert done.exit_code == 0, done.exception
    with Image.open(output) as film:
        assert film.n_frames == 3
        assert film.info["duration"] == 120


@pytest.mark.parametrize(
    ("words", "clause"),
    [
        (["grid", "A", "conv", "--page", "3"], "no page 3"),
        (["grid", "A", "conv", "--samples", "4"], "--channel"),
        (["sequence", "A", "conv"], "render.grid"),
        (["attention", "A", "weights", "--tokens", "a b"], "2 tokens"),
        (["attention", "A", "weights", "--merge", "sum"], "no merge 'sum'"),
        (["volume", "A", "dense"], "a volume has the axes"),
        (["volume", "A", "dence"], "did you mean 'dense'"),
        (["flow", "A", "--sample", "digit-x"], "no sample 'digit-x'"),
        (["heatmap", "A", "conv", "--interpolation", "cubic"], "no interpolation 'cubic'"),
        (["grid", "A", "conv", "--columns", "0"], "columns must be"),
        (["compare", "A", "B", "conv", "--scale", "channel"], "no common scale"),
        (["compare", "A", "B", "conv", "--sample", "6"], "no sample 6"),
        (["animate", "A", "conv"], "must be one of .gif, .mp4"),
    ],
)
def test_what_is_wrong_is_said(files, tmp_path, words, clause):
    done = run(files, tmp_path / "picture.png", *words)
    assert isinstance(done.exception, ActscopeError)
    assert clause in str(done.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["flow", "A"], ["compare", "A", "B", "conv"], ["animate", "A", "conv"]]
)
def test_nothing_is_written_over(files, tmp_path, words):
    output = tmp_path / "picture.gif"
    output.write_text("precious")
    done = run(files, output, *words)
    assert isinstance(done.exception, OutputExistsError)
    assert output.read_text() == "precious"
