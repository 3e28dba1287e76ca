"""The ConvNet's layers, 60,000 samples, into an HDF5 file: actscope beside Keract 4.5.2.

    python -m venv old && old/bin/pip install 'tensorflow-cpu==2.15.1' 'numpy<2' keract==4.5.2 h5py
    python -m benchmarks.keract_speed old/bin/python [--rounds 3] [--folder /dev/shm]

Each run is a process of its own, one after the other in every round: Keract's `get_activations` and
plain h5py on TensorFlow 2.15, then `actscope.extract` on each backend, on the same data. Imports
and building the model are not counted, compiling is. Prints medians, and peaks of memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

if __package__:
    from benchmarks.keract_models import MODELS
else:  # in Keract's environment, where actscope is not installed
    from keract_models import MODELS  # type: ignore

BATCH_SIZE = 512


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


def actscope_run(samples: int, path: Path) -> float:
    """Seconds for the same with actscope."""
    import keras

    import actscope

    model, data = MODELS["convnet"](keras), images(samples)
    start = time.perf_counter()
    actscope.extract(model, data, path, batch_size=BATCH_SIZE, store_inputs=False)
    return time.perf_counter() - start


def measured(python: str, way: str, samples: int, folder: str) -> dict[str, float]:
    """One run in a process of its own."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": way}
    module = [__file__] if way == "keract" else ["-m", "benchmarks.keract_speed"]
    command = [python, *module, python, "--way", way, "--samples", str(samples)]
    done = subprocess.run(
        [*command, "--folder", folder], env=environment, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(way: str, samples: int, folder: str) -> dict[str, float]:
    """What this process measures: seconds, and its peak of memory in GB."""
    path = Path(folder) / f"keract-speed-{os.getpid()}.h5"
    try:
        seconds = (keract_run if way == "keract" else actscope_run)(samples, path)
    finally:
        path.unlink(missing_ok=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": seconds, "peak": peak}


def main() -> None:
    """Run all, interleaved, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="Python with Keract 4.5.2 and TensorFlow 2.15.1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=60_000)
    parser.add_argument("--folder", default="/dev/shm")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.way:
        print(json.dumps(run(words.way, words.samples, words.folder)))
        return
    ways = ("keract", "tensorflow", "jax", "torch")
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(words.rounds):
        for way in ways:
            python = words.python if way == "keract" else sys.executable
            found[way].append(measured(python, way, words.samples, words.folder))
    theirs = median(one["seconds"] for one in found["keract"])
    print(f"{'':14}{'seconds':>9}{'Keract/this':>13}{'peak GB':>9}")
    for way in ways:
        seconds = median(one["seconds"] for one in found[way])
        peak = median(one["peak"] for one in found[way])
        print(f"{way:14}{seconds:9.2f}{theirs / seconds:13.1f}{peak:9.2f}")


if __name__ == "__main__":
    main()
