"""What one early layer costs: the first block of ResNet50 against the model up to there, and whole.

    python -m benchmarks.early_layer [--backends jax,tensorflow,torch] [--rounds 5] [--size 128]

Per backend, in a process of its own, interleaved rounds over the same images, everything compiled
before, of

- captured: actscope's step for `conv2_block1_out`, batch by batch, outputs on the host;
- sub-model: `predict` of a `keras.Model` that ends there;
- whole: `predict` of the whole model.

Prints medians and ratios.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

LAYER = "conv2_block1_out"
BATCH_SIZE = 8
IMAGES = 32


def capture(step: Any, images: Any) -> None:
    """Every batch through the step, the next launched before the last is fetched."""
    ahead = None
    for start in range(0, len(images), BATCH_SIZE):
        launched = step.launch([images[start : start + BATCH_SIZE]])
        if ahead is not None:
            step.fetch(ahead)
        ahead = launched
    step.fetch(ahead)


def measure(size: int, rounds: int) -> dict[str, float]:
    """Median seconds of each way on the backend of this process."""
    import keras

    from actscope.planning import plan_wanted
    from actscope.protocol import Inputs
    from actscope.registry import adapter_for
    from actscope.selection import select

    model = keras.applications.ResNet50(weights=None, input_shape=(size, size, 3))
    images = np.random.default_rng(0).random((IMAGES, size, size, 3), np.float32)
    trace = adapter_for(model).trace(model, Inputs((images[:BATCH_SIZE],)))
    step = trace.compile(plan_wanted(select(trace.layers, LAYER)), BATCH_SIZE)
    part = keras.Model(model.inputs, model.get_layer(LAYER).output)
    ways: dict[str, Callable[[], Any]] = {
        "captured": partial(capture, step, images),
        "sub-model": partial(part.predict, images, batch_size=BATCH_SIZE, verbose=0),
        "whole": partial(model.predict, images, batch_size=BATCH_SIZE, verbose=0),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    return {name: median(values[1:]) for name, values in times.items()}  # the first compiles


def main() -> None:
    """Run each backend apart and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", default="jax,tensorflow,torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.size, arguments.rounds)))
        return
    print(f"{'backend':12}{'captured':>10}{'sub-model':>11}{'whole':>9}{'captured/sub-model':>21}")
    for backend in arguments.backends.split(","):
        command = [sys.executable, "-m", "benchmarks.early_layer", "--here"]
        command += ["--rounds", str(arguments.rounds), "--size", str(arguments.size)]
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        row = "".join(f"{found[name]:{width}.2f} s"[:-2] + " s" for name, width in _WIDTHS)
        print(f"{backend:12}{row}{found['captured'] / found['sub-model']:19.2f}", flush=True)


_WIDTHS = (("captured", 8), ("sub-model", 9), ("whole", 7))


if __name__ == "__main__":
    main()
