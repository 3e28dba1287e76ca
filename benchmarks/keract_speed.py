"""The ConvNet's layers, 60,000 samples, into an HDF5 file: actscope beside Keract 4.5.2.

    python -m venv old && old/bin/pip install 'tensorflow-cpu==2.15.1' 'numpy<2' keract==4.5.2 h5py
    python -m benchmarks keract --keract old/bin/python

Each run is a process of its own, one after the other in every round: Keract's `get_activations` and
plain h5py on TensorFlow 2.15, then `actscope.extract` on each backend, on the same data. Imports
and building the model are not counted, compiling is.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

if __package__:
    from benchmarks.keract_models import MODELS
    from benchmarks.measuring import BACKENDS, Options, in_process, new_file
    from benchmarks.tables import Ratio, Series, Table
else:  # in Keract's environment, where actscope is not installed
    from keract_models import MODELS  # type: ignore

SAMPLES = 60_000
KERACT = "Keract 4.5.2 and h5py"
GOALS = {"TensorFlow": 5.0, "JAX": 4.0, "PyTorch": 3.0}


def images(samples: int) -> Any:
    """Random pictures, shape `(samples, 28, 28, 1)`, float32."""
    return np.random.default_rng(0).random((samples, 28, 28, 1), np.float32)


def keract_run(samples: int, path: Path) -> float:
    """Seconds for Keract's activations and their h5py file."""
    import h5py
    import keract
    import tensorflow as tf

    model, data = MODELS["convnet"](tf.keras), images(samples)
    start = time.perf_counter()
    activations = keract.get_activations(model, data)
    with h5py.File(path, "w") as file:
        for name, values in activations.items():
            if name != "image":  # actscope does not store the inputs here either
                file.create_dataset(name, data=values)
    return time.perf_counter() - start


def actscope_run(samples: int, folder: str) -> tuple[float, float]:
    """Seconds for the same with actscope, and the process's peak of memory in GB."""
    import keras

    from actscope import extract

    model, data = MODELS["convnet"](keras), images(samples)
    with new_file(folder) as path:
        start = time.perf_counter()
        extract(model, data, path, store_inputs=False)
        return time.perf_counter() - start, peak_gigabytes()


def peak_gigabytes() -> float:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def beside(python: str, samples: int, folder: Path) -> tuple[float, float]:
    """One run of Keract in its own environment: seconds and GB."""
    with new_file(folder) as path:
        done = subprocess.run(
            [python, __file__, str(samples), str(path)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            check=True,
        )
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def tables(options: "Options") -> "Iterator[Table]":
    """The one table; none without Keract."""
    if options.keract is None:
        print("keract: left out; give a Python with Keract 4.5.2 as --keract", file=sys.stderr)
        return
    samples = options.scaled(SAMPLES)
    theirs: list[tuple[float, float]] = []
    ours: dict[str, list[tuple[float, float]]] = {BACKENDS[b]: [] for b in options.backends}
    for _ in range(options.rounds):
        theirs.append(beside(options.keract, samples, options.folder))
        for backend in options.backends:
            words = (samples, str(options.folder))
            ours[BACKENDS[backend]].append(in_process(actscope_run, *words, backend=backend))
    columns = list(ours)
    yield Table(
        "keract",
        f"Beside Keract 4.5.2: ConvNet, all layers, {samples:,} samples into a file",
        (
            Series(KERACT, {column: [one[0] for one in theirs] for column in columns}),
            Series("actscope", {c: [one[0] for one in found] for c, found in ours.items()}),
            Series("memory, Keract", {c: [one[1] for one in theirs] for c in columns}, "GB"),
            Series("memory, actscope", {c: [o[1] for o in f] for c, f in ours.items()}, "GB"),
        ),
        (Ratio("times faster", (KERACT,), ("actscope",), at_least=GOALS),),
        "Keract runs on TensorFlow 2.15.1: the same in all columns. Each run has its own process.",
    )


if __name__ == "__main__":
    print(json.dumps([keract_run(int(sys.argv[1]), Path(sys.argv[2])), peak_gigabytes()]))
