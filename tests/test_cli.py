"""The command line as users run it: wrong input is one line on stderr and exit code 2."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import actscope

COMMAND = [sys.executable, "-c", "from actscope.cli import main; main()"]
BACKEND = next((name for name in ("jax", "torch", "tensorflow") if find_spec(name)), None)
needs_keras = pytest.mark.skipif(
    not (BACKEND and find_spec("keras")), reason="Keras with a backend is not installed"
)
DEMO = Path(actscope.__file__).parent / "demo"
DIGITS = (DEMO / "digits.keras", DEMO / "digits.npz")


def run(*words, cwd=None, **variables):
    environment = {**os.environ, **variables}
    return subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, cwd=cwd, env=environment
    )


def fails(done, *clauses, code=2):
    assert done.returncode == code, done.stderr
    # Frameworks may greet on stderr; the error is the last line, and no traceback is above it.
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("actscope: ")
    assert "Traceback" not in done.stderr
    for clause in clauses:
        assert clause in line
    return done


def test_info_as_text_and_json(example):
    example.write(upto=7)
    text = run("info", example.path)
    assert text.returncode == 0
    assert "7 samples, 3 layers" in text.stdout
    assert "INCOMPLETE" in text.stdout
    assert "block/dense" in text.stdout
    data = json.loads(run("info", example.path, "--json").stdout)
    assert (data["samples"], data["planned"], data["complete"]) == (7, 12, False)
    assert [layer["path"] for layer in data["layers"]] == list(example.arrays)
    assert data["layers"][0]["shape"] == [7, 6, 6, 4]
    assert data["layers"][0]["dims"] == ["sample", "y", "x", "channel"]
    assert data["provenance"] == {"backend": "none"}


def test_pictures(example, tmp_path):
    example.write()
    for verb, layer, more in (
        ("grid", "conv2d", ["--scale", "channel"]),
        ("heatmap", "conv2d", ["--merge", "none"]),
        ("heatmap", "conv2d", ["--channel", "1", "--sample", "-1"]),
        ("vector", "block/dense", ["--sample", "digit-3"]),
    ):
        picture = tmp_path / f"{verb}{len(more)}{layer[0]}.png"
        done = run("render", verb, example.path, layer, "-o", picture, *more)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(picture)
        with Image.open(picture) as image:
            assert image.width > 200


def test_a_picture_is_not_written_over(example, tmp_path):
    example.write()
    picture = tmp_path / "grid.png"
    picture.write_text("precious")
    words = ("render", "grid", example.path, "conv2d", "-o", picture)
    fails(run(*words), "grid.png exists", "--overwrite")
    assert picture.read_text() == "precious"
    assert run(*words, "--overwrite").returncode == 0
    assert picture.stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "clauses"),
    [
        (["info", "none.h5"], ["none.h5 does not exist"]),
        (["info", "text.txt"], ["not an actscope recording"]),
        (["info", "."], ["is a folder"]),
        (["render", "grid", "run.h5", "conv2", "-o", "x.png"], ["did you mean 'conv2d'"]),
        (["render", "grid", "run.h5", "conv2d", "-o", "x.png", "--sample", "99"], ["12"]),
        (["render", "grid", "run.h5", "conv2d", "-o", "x.png", "--sample", "digit-x"], ["digit-"]),
        (["render", "grid", "run.h5", "conv2d", "-o", "x.xyz"], ["xyz", "png"]),
        (["render", "grid", "run.h5", "conv2d", "-o", "x.png", "--scale", "odd"], ["odd"]),
        (["render", "grid", "run.h5", "conv2d", "-o", "x.png", "--cmap", "odd"], ["odd"]),
        (["render", "heatmap", "run.h5", "conv2d", "-o", "x.png", "--merge", "sum"], ["sum"]),
        (["render", "heatmap", "run.h5", "conv2d", "-o", "x.png", "--channel", "9"], ["9"]),
        (["render", "heatmap", "run.h5", "block/dense", "-o", "x.png"], ["block/dense"]),
        (["render", "grid", "run.h5", "conv2d", "-o", "no/such/x.png"], ["no/such"]),
        (["render", "grid", "run.h5", "conv2d", "-o", "text.txt/x.png"], ["text.txt"]),
        (["render", "grid", "run.h5"], ["Missing argument 'LAYER'"]),
        (["nothing"], ["No such command 'nothing'"]),
        (["extract", "m.keras", "x.npy", "-o", "run.h5"], ["run.h5 exists"]),
    ],
)
def test_wrong_input(example, words, clauses):
    example.write()
    (example.path.parent / "text.txt").write_text("text")
    before = sorted(path.name for path in example.path.parent.iterdir())
    content = example.path.read_bytes()
    fails(run(*words, cwd=example.path.parent), *clauses)
    assert sorted(path.name for path in example.path.parent.iterdir()) == before
    assert example.path.read_bytes() == content


@needs_keras
def test_layers_of_a_model():
    done = run("layers", DEMO / "digits.keras", "--backend", BACKEND)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line]
    assert lines[1] == ["conv2d", "Conv2D", "(N,", "24,", "24,", "6)", "156"]
    assert [line[0] for line in lines[1:7]] == [
        *("conv2d", "max_pooling2d", "conv2d_1", "flatten", "dense", "dense_1")
    ]


@needs_keras
def test_a_callable_with_arguments_needs_no_weights(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import keras\n"
        "def build(width=2, weights='imagenet'):\n"
        "    assert weights is None, 'would download'\n"
        "    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(width, name='d')])\n"
    )
    listed = run("layers", "mine:build(width=7)", "--json", "--backend", BACKEND, cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)[0]["outputs"][0]["shape"] == [7]


@needs_keras
def test_what_a_selection_takes_is_said_exactly(tmp_path):
    chosen = ("--layers", "conv*", "--layers", "type:Dense", "--layers", "!dense")
    reduced = (*chosen, "--reduce", "conv2d=mean", "--reduce", "conv2d=max", "--dtype", "float16")
    reduced = (*reduced, "--backend", BACKEND)
    listed = run("layers", DEMO / "digits.keras", *reduced, "--samples", "48")
    assert listed.returncode == 0, listed.stderr
    rows = [line.split() for line in listed.stdout.splitlines() if line][1:]
    assert rows[0] == ["conv2d", "mean", "(N,", "6)", "float16", "12", "576"]
    assert rows[1] == ["conv2d", "max", "(N,", "6)", "float16", "12", "576"]
    assert [row[0] for row in rows[2:4]] == ["conv2d_1", "dense_1"]
    data = DEMO / "digits.npz"
    done = run(
        "extract", DEMO / "digits.keras", data, "-o", tmp_path / "run.h5", *reduced,
        "--no-store-inputs",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    recording = actscope.open(tmp_path / "run.h5")
    total = sum(output.nbytes for path in recording for output in recording[path].outputs)
    assert f"{total:,} bytes" in listed.stdout
    assert f"{total:,} bytes" in done.stdout


@needs_keras
def test_gradients_of_the_labels_in_the_data(tmp_path):
    words = (DEMO / "digits.keras", DEMO / "digits.npz", "-o", tmp_path / "run.h5")
    options = ("--layers", "flatten", "--gradients", "labels", "--backend", BACKEND)
    done = run("extract", *words, *options)
    assert done.returncode == 0, done.stderr
    shown = run("info", tmp_path / "run.h5")
    assert "flatten gradient" in shown.stdout
    layer = actscope.open(tmp_path / "run.h5")["flatten"]
    assert layer.gradient.shape == layer.shape
    assert np.abs(layer.gradient[:]).max() > 0


@needs_keras
def test_extract_and_open_without_the_model(tmp_path):
    words = ("extract", DEMO / "digits.keras", DEMO / "digits.npz", "-o", tmp_path / "run.h5")
    done = run(*words, "--layers", "conv*", "--batch-size", "20", "--backend", BACKEND)
    assert done.returncode == 0, done.stderr
    assert "48 samples, 2 layers" in done.stdout
    recording = actscope.open(tmp_path / "run.h5")
    assert recording["conv2d"].shape == (48, 24, 24, 6)
    assert list(recording.labels[:10]) == list(range(10))
    with np.load(DEMO / "digits.npz") as digits:
        np.testing.assert_array_equal(recording.inputs[0][:], digits["images"])
    assert recording.provenance["backend"] == BACKEND
    fails(run(*words), "run.h5 exists")


@needs_keras
@pytest.mark.parametrize(
    ("words", "clauses"),
    [
        (["none.keras", "x.npy"], ["none.keras does not exist"]),
        (["bad.keras", "x.npy"], ["bad.keras cannot be loaded"]),
        (["no_such_module:f", "x.npy"], ["no_such_module"]),
        (["keras.layers:Nothing", "x.npy"], ["has no 'Nothing'"]),
        (["keras.layers:Dense(units=3)", "x.npy"], ["returned a Dense, not a keras.Model"]),
        ([DEMO / "digits.keras", "none.npy"], ["none.npy does not exist"]),
        ([DEMO / "digits.keras", "x.npy"], ["takes (N, 28, 28, 1), the data have (N, 5)"]),
        ([DEMO / "digits.keras", DEMO / "digits.npz", "--layers", "cov*"], ["conv2d"]),
        ([DEMO / "digits.keras", DEMO / "digits.npz", "--backend", "theano"], ["theano"]),
        ([DEMO / "digits.keras", DEMO / "digits.npz", "--batch-size", "0"], ["batch_size=0"]),
        ([*DIGITS, "--layers", "type:Conv3D"], ["no layer is a 'Conv3D'", "'Conv2D'"]),
        ([*DIGITS, "--reduce", "average"], ["unknown reduction 'average'"]),
        ([*DIGITS, "--reduce", "dense=mean"], ["'mean' does not fit 'dense'"]),
        ([*DIGITS, "--reduce", "mean", "--reduce", "dense=mean"], ["GLOB=REDUCTION"]),
        ([*DIGITS, "--dtype", "int8"], ["float16, bfloat16, float32"]),
        ([*DIGITS, "--gradients", "10"], ["the class 10", "0 to 9"]),
        ([*DIGITS, "--gradients", "best"], ["gradients='best'"]),
    ],
)
def test_wrong_models_and_data(tmp_path, words, clauses):
    np.save(tmp_path / "x.npy", np.zeros((4, 5)))
    (tmp_path / "bad.keras").write_text("no model")
    done = run("extract", *words, "-o", "run.h5", cwd=tmp_path, KERAS_BACKEND=BACKEND)
    fails(done, *clauses)
    assert not (tmp_path / "run.h5").exists()


def test_a_missing_backend_is_named_with_what_brings_it(tmp_path):
    missing = next((n for n in ("jax", "tensorflow", "torch") if not find_spec(n)), None)
    if not missing or not find_spec("keras"):
        pytest.skip("every backend is installed")
    words = ("extract", DEMO / "digits.keras", DEMO / "digits.npz", "-o", tmp_path / "x.h5")
    fails(run(*words, "--backend", missing), f"pip install 'actscope[{missing}]'")


@needs_keras
def test_an_interrupt_keeps_committed_rows_and_can_be_read_meanwhile(tmp_path):
    path = tmp_path / "run.h5"
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (200_000, 28, 28, 1)).flush()
    words = ["extract", DEMO / "digits.keras", tmp_path / "x.npy", "-o", path, "--batch-size", "1"]
    command = [*COMMAND, *map(str, words), "--layers", "dense_1", "--backend", BACKEND]
    # A shell starts what it runs in the background with this signal ignored.
    running = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 120
    while not (path.exists() and actscope.open(path).samples):
        assert time.monotonic() < deadline, "no rows were committed"
        assert running.poll() is None
        time.sleep(0.1)
    meanwhile = actscope.open(path)
    assert not meanwhile.complete
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("actscope: interrupted")
    recording = actscope.open(path)
    assert meanwhile.samples <= recording.samples < recording.planned
    one, last = recording["dense_1"][[0, -1]]
    np.testing.assert_array_equal(one, last)
    assert one.sum() == pytest.approx(1, abs=1e-5)


@needs_keras
def test_the_same_command_goes_on_after_a_kill(tmp_path):
    path = tmp_path / "run.h5"
    np.save(tmp_path / "x.npy", np.zeros((30_000, 28, 28, 1), np.float32))
    words = ["extract", DEMO / "digits.keras", tmp_path / "x.npy", "-o", path]
    words += ["--layers", "dense_1", "--backend", BACKEND, "--batch-size", 1]
    running = subprocess.Popen([*COMMAND, *map(str, words)])
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, "no rows were committed"
        assert running.poll() is None
        time.sleep(0.01)
    running.kill()
    running.wait()
    committed = actscope.open(path).samples
    assert committed
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert f"holds {committed:,} samples: going on from there" in done.stderr
    recording = actscope.open(path)
    assert recording.complete
    assert (recording["dense_1"][:] == recording["dense_1"][0]).all()


@needs_keras
def test_the_demo(tmp_path):
    done = run("demo", "-o", tmp_path / "demo", "--backend", BACKEND)
    assert done.returncode == 0, done.stderr
    pictures = sorted(path.name for path in (tmp_path / "demo").glob("*.png"))
    assert pictures == [
        "conv2d-grid.png",
        "conv2d-heatmap.png",
        "conv2d_1-grid.png",
        "conv2d_1-heatmap.png",
        "dense-bars.png",
        "dense_1-bars.png",
    ]
    for name in (*pictures, "demo.h5", "conv2d_1", "actscope render"):
        assert name in done.stdout
    recording = actscope.open(tmp_path / "demo" / "demo.h5")
    predicted = recording["dense_1"][:].argmax(axis=1)
    assert (predicted == recording.labels).mean() > 0.9
    again = run("demo", "-o", tmp_path / "demo", "--backend", BACKEND)
    assert again.returncode == 0, again.stderr


@needs_keras
def test_the_demo_does_not_write_over_a_foreign_file(tmp_path):
    (tmp_path / "demo.h5").write_text("precious")
    fails(run("demo", "-o", tmp_path, "--backend", BACKEND), "demo.h5 exists")
    assert (tmp_path / "demo.h5").read_text() == "precious"
