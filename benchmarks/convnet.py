"""Recording every layer of the ConvNet over 60,000 samples: speed, memory, peers and ceilings.

    python -m benchmarks.convnet [--backends jax,torch] [--rounds 5] [--folder /dev/shm]

Per backend, in a process of its own, interleaved rounds of

- capture: the same step over the same batches, outputs kept in memory (the first ceiling);
- raw write: the same bytes to a file with `write` (the second ceiling);
- extract: `actscope.extract`, which does both;
- multi-output: `keras.Model` with every layer as an output, `predict`, then h5py (the peer);
- predict: the bare model, for comparison.

Then the process's peak of memory without the input, for 15,000 and 60,000 samples, each in a fresh
process. Prints a table, and writes JSON where asked.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

SAMPLES = 60_000
BATCH_SIZE = 512


def build() -> Any:
    """The ConvNet that the demo ships."""
    import keras

    return keras.saving.load_model(files("actscope.demo") / "digits.keras", compile=False)


def images(samples: int) -> Any:
    """Random pictures, shape `(samples, 28, 28, 1)`, float32."""
    return np.random.default_rng(0).random((samples, 28, 28, 1), np.float32)


def capture(model: Any, data: Any) -> list[list[Any]]:
    """Every layer's output for every batch, in memory, as actscope's own step gives them."""
    from actscope.feed import pad
    from actscope.planning import plan_wanted
    from actscope.protocol import Inputs
    from actscope.registry import adapter_for
    from actscope.selection import select

    trace = adapter_for(model).trace(model, Inputs((data[:16],)))
    layers = select(trace.layers, "all")
    step = trace.compile(plan_wanted(layers), BATCH_SIZE)
    kept, ahead = [], None
    for start in range(0, len(data), BATCH_SIZE):
        launched = step.launch(pad([data[start : start + BATCH_SIZE]], BATCH_SIZE))
        if ahead is not None:
            kept.append(step.fetch(ahead).outputs)
        ahead = launched
    kept.append(step.fetch(ahead).outputs)
    return kept


def raw_write(batches: Sequence[Sequence[Any]], path: Path) -> None:
    """The same bytes, layer after layer, with plain writes."""
    descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR)
    for position in range(len(batches[0])):
        for batch in batches:
            os.write(descriptor, batch[position])
    os.close(descriptor)


def extract(model: Any, data: Any, path: Path) -> None:
    """The job itself."""
    import actscope

    actscope.extract(
        model, data, path, layers="all", batch_size=BATCH_SIZE, store_inputs=False
    ).close()


def multi_output(model: Any, data: Any, path: Path) -> None:
    """What users write themselves: a model with many outputs, and h5py."""
    import h5py
    import keras

    many = keras.Model(model.inputs, [layer.output for layer in model.layers])
    activations = many.predict(data, batch_size=BATCH_SIZE, verbose=0)
    with h5py.File(path, "w") as file:
        for layer, values in zip(model.layers, activations, strict=True):
            file[layer.name] = values


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the function returned."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measure(rounds: int, folder: Path) -> dict[str, list[float]]:
    """Interleaved rounds of everything, in this process; the first round warms up."""
    model, data = build(), images(SAMPLES)
    path = folder / "actscope-benchmark.h5"
    times: dict[str, list[float]] = {}

    def note(name: str, function: Callable[[], Any]) -> Any:
        seconds, result = timed(function)
        path.unlink(missing_ok=True)
        times.setdefault(name, []).append(seconds)
        return result

    for _ in range(rounds + 1):
        batches = note("capture", lambda: capture(model, data))
        note("raw write", partial(raw_write, batches, path))
        del batches
        note("extract", lambda: extract(model, data, path))
        note("multi-output", lambda: multi_output(model, data, path))
        note("predict", lambda: model.predict(data, batch_size=BATCH_SIZE, verbose=0))
    return {name: values[1:] for name, values in times.items()}


def peak_memory(samples: int, folder: Path) -> int:
    """The process's peak of resident bytes while it records, less those of the input."""
    model, data = build(), images(samples)
    path = folder / "actscope-benchmark.h5"
    extract(model, data[: 4 * BATCH_SIZE], path)
    path.unlink()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    extract(model, data, path)
    path.unlink()
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return int(peak - data.nbytes)


def _in_process(backend: str, *words: str) -> Any:
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.convnet", "--child", *words]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(backend: str, times: dict[str, list[float]], memory: dict[int, int]) -> None:
    """One table per backend."""
    print(f"\n{backend}: ConvNet, all layers, {SAMPLES:,} samples, batch {BATCH_SIZE}")
    for name, values in times.items():
        print(f"  {name:14} {median(values):6.2f} s   ({min(values):.2f} to {max(values):.2f})")
    pairs = zip(times["extract"], times["capture"], times["raw write"], strict=True)
    ratios = [extracted / (captured + written) for extracted, captured, written in pairs]
    peer = [m / e for m, e in zip(times["multi-output"], times["extract"], strict=True)]
    spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
    print(f"  extract / (capture + raw write): {median(ratios):.2f} {spread}")
    print(f"  faster than the multi-output model and h5py: {median(peer):.1f} times")
    small, large = memory[15_000], memory[60_000]
    print(
        f"  peak memory without the input: {small / 1e6:.0f} MB for 15,000 samples, "
        f"{large / 1e6:.0f} MB for 60,000 ({large / small:.2f})"
    )


def main() -> None:
    """Measure each backend and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default="jax,tensorflow,torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        job, argument, folder = words.child
        jobs = {"measure": measure, "memory": peak_memory}
        print(json.dumps(jobs[job](int(argument), Path(folder))))
        return
    results = {}
    for backend in words.backends.split(","):
        times = _in_process(backend, "measure", str(words.rounds), str(words.folder))
        memory = {
            samples: _in_process(backend, "memory", str(samples), str(words.folder))
            for samples in (15_000, 60_000)
        }
        report(backend, times, memory)
        results[backend] = {"seconds": times, "peak-bytes": memory}
    if words.json:
        machine = {"platform": platform.platform(), "cores": os.cpu_count()}
        words.json.write_text(json.dumps({"machine": machine, "results": results}, indent=2))


if __name__ == "__main__":
    main()
