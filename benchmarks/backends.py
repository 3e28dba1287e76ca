"""Where the numbers of JAX, TensorFlow and PyTorch part: the same weights and data on each.

    python -m benchmarks.backends [--models digits mobilenet bert] [--backends jax tensorflow torch]
                                  [--folder FOLDER]

Each recording is made in a process of its own. The first backend makes the weights and keeps them
in a file that all of them load; the hashes in the recordings prove that they are the same. Then
each pair of recordings is compared layer by layer, and three more pairs per model: with one weight
tensor of one layer changed by a hundredth, and computed in float16 and in bfloat16. Prints a table.
The BERT needs `pip install keras-hub`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import actscope
from actscope.comparing.result import Comparison

BACKENDS = ("jax", "tensorflow", "torch")
MODELS = ("digits", "mobilenet", "bert")
SAMPLES = 32
CHANGE = 1.01
CHANGED = {
    "digits": "conv2d_1",
    "mobilenet": "block_6_expand",
    "bert": "transformer_layer_1/feedforward_intermediate_dense",
}
"""Which layer's kernel is changed, by model."""

TITLES = (
    *("model", "pair", "layers", "unshared", "verdict", "first diverging"),
    *("worst, of its tolerance", "worst layer", "last layer"),
)


def build(model: str) -> Any:
    """A model with random weights, or the demo's trained one."""
    import keras

    keras.utils.set_random_seed(0)
    if model == "digits":
        return keras.saving.load_model(files("actscope.demo") / "digits.keras", compile=False)
    if model == "mobilenet":
        return keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3))
    import keras_hub

    return keras_hub.models.BertBackbone(
        vocabulary_size=1000,
        num_layers=4,
        num_heads=4,
        hidden_dim=64,
        intermediate_dim=256,
        max_sequence_length=32,
    )


def data(model: str) -> Any:
    """Random pictures, or tokens of which the last ones are padding."""
    random = np.random.default_rng(0)
    if model != "bert":
        shape = (28, 28, 1) if model == "digits" else (96, 96, 3)
        return random.random((SAMPLES, *shape), np.float32)
    mask = (np.arange(32) < random.integers(8, 33, (SAMPLES, 1))).astype(np.int32)
    return {
        "token_ids": random.integers(1, 1000, (SAMPLES, 32)).astype(np.int32),
        "segment_ids": np.zeros((SAMPLES, 32), np.int32),
        "padding_mask": mask,
    }


def record(model: str, weights: Path, output: Path, policy: str, change: str) -> None:
    """Record every layer in this process, on the backend that its environment names."""
    built = build(model)
    if weights.exists():
        built.load_weights(weights)
    else:
        built.save_weights(weights)
    every = built._flatten_layers(include_self=False)
    for layer in every:
        layer.dtype_policy = policy
    for layer in every if change else []:
        if f"/{layer.path}".endswith(f"/{change}"):
            kernel = layer.trainable_variables[0]
            kernel.assign(kernel * CHANGE)
    actscope.extract(built, data(model), output, layers="all", overwrite=True, progress=False)


def recorded(
    model: str, backend: str, folder: Path, policy: str = "float32", change: str = ""
) -> Path:
    """The recording of one run, made by a process of its own."""
    output = folder / f"{model}-{backend}-{policy}{'-changed' if change else ''}.h5"
    weights = folder / f"{model}.weights.h5"
    words = ["--record", model, str(weights), str(output), policy, change]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.backends", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{model} on {backend} failed:\n{done.stderr[-2000:]}")
    return output


def pairs(model: str, backends: Sequence[str], folder: Path) -> Iterator[tuple[str, Comparison]]:
    """Each comparison of one model, and what it is of."""
    plain = {backend: recorded(model, backend, folder) for backend in backends}
    for a, b in combinations(backends, 2):
        yield f"{a} and {b}", actscope.compare(plain[a], plain[b])
    first, last = backends[0], backends[-1]
    changed = recorded(model, last, folder, change=CHANGED[model])
    yield f"{first} and {last}, {CHANGED[model]} changed", actscope.compare(plain[first], changed)
    for policy in ("mixed_float16", "mixed_bfloat16"):
        coarse = recorded(model, first, folder, policy)
        yield f"{first}, float32 and {policy}", actscope.compare(plain[first], coarse)


def row(model: str, words: str, found: Comparison) -> str:
    """One line of the table."""
    worst = max(found.layers, key=lambda layer: layer.strain)
    cells = [
        model,
        words,
        str(len(found.layers)),
        str(len(found.only_a) + len(found.only_b)),
        "within" if found.within else "beyond",
        found.first_diverging or "-",
        f"{worst.largest_scaled:.1e} of {worst.tolerance:.1e}",
        worst.name,
        f"{found.layers[-1].largest_scaled:.1e}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Record, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--folder", type=Path, help="where recordings are kept; else none are")
    parser.add_argument("--record", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.record:
        model, weights, output, policy, change = given.record
        record(model, Path(weights), Path(output), policy, change)
        return
    print(f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        for model in given.models:
            for words, found in pairs(model, given.backends, folder):
                print(row(model, words, found), flush=True)


if __name__ == "__main__":
    main()
