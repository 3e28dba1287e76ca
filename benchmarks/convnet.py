"""Recording every layer of the ConvNet over 60,000 samples: speed, peers and ceilings.

Per backend, in a process of its own, interleaved rounds of

- capture: the same step over the same batches, outputs kept in memory (the first ceiling);
- raw write: the same bytes to a file with `write` (the second ceiling);
- extract: `actscope.extract`, which does both;
- the same three in float16;
- multi-output: `keras.Model` with every layer as an output, `predict`, then h5py (the peer);
- predict: the bare model, for comparison.
"""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import (
    Options,
    by_backend,
    have_memory_at_hand,
    new_file,
    rounds_of,
)
from benchmarks.tables import Ratio, Series, Table

SAMPLES = 60_000
BATCH_SIZE = 512
BYTES_PER_SAMPLE = 23_464


def build() -> Any:
    """The ConvNet that the demo ships."""
    import keras

    return keras.saving.load_model(files("actscope.demo") / "digits.keras", compile=False)


def images(samples: int) -> Any:
    """Random pictures, shape `(samples, 28, 28, 1)`, float32."""
    return np.random.default_rng(0).random((samples, 28, 28, 1), np.float32)


def capture(model: Any, data: Any, dtype: str | None = None) -> list[list[Any]]:
    """Every layer's output for every batch, in memory, as actscope's own step gives them."""
    from actscope.feed import pad
    from actscope.planning import plan_wanted
    from actscope.protocol import Inputs
    from actscope.registry import adapter_for
    from actscope.selection import select

    trace = adapter_for(model).trace(model, Inputs((data[:16],)))
    wanted = plan_wanted(select(trace.layers, "all"), dtype=dtype)
    step = trace.compile(wanted, BATCH_SIZE)
    kept, ahead = [], None
    for start in range(0, len(data), BATCH_SIZE):
        staged = step.stage(pad([data[start : start + BATCH_SIZE]], BATCH_SIZE))
        launched = step.launch(staged)
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


def extract(model: Any, data: Any, path: Path, **words: Any) -> None:
    """The job itself."""
    import actscope

    asked = {"layers": "all", "batch_size": BATCH_SIZE, "store_inputs": False, **words}
    actscope.extract(model, data, path, overwrite=True, **asked).close()


def multi_output(model: Any, data: Any, path: Path) -> None:
    """What users write themselves: a model with many outputs, and h5py."""
    import h5py
    import keras

    many = keras.Model(model.inputs, [layer.output for layer in model.layers])
    activations = many.predict(data, batch_size=BATCH_SIZE, verbose=0)
    with h5py.File(path, "w") as file:
        for layer, values in zip(model.layers, activations, strict=True):
            file[layer.name] = values


def measure(rounds: int, samples: int, folder: str) -> dict[str, list[float]]:
    """Seconds of everything in interleaved rounds, in this process."""
    model, data = build(), images(samples)
    batches: list[list[Any]] = []

    def captured(dtype: str | None) -> None:
        batches[:] = capture(model, data, dtype)

    def written(path: Path) -> None:
        raw_write(batches, path)
        batches.clear()

    def fresh(job: Any) -> None:
        with new_file(folder) as path:
            job(path)

    ways = {
        "capture into memory (ceiling 1)": partial(captured, None),
        "raw write of the same bytes (ceiling 2)": partial(fresh, written),
        "`actscope.extract`": partial(fresh, partial(extract, model, data)),
        "capture, float16": partial(captured, "float16"),
        "raw write, float16": partial(fresh, written),
        "`extract(dtype='float16')`": partial(
            fresh, partial(extract, model, data, dtype="float16")
        ),
        "multi-output `predict` and h5py (peer)": partial(
            fresh, partial(multi_output, model, data)
        ),
        "bare `predict`": partial(model.predict, data, batch_size=BATCH_SIZE, verbose=0),
    }
    size = samples * BYTES_PER_SAMPLE
    return rounds_of(ways, rounds, partial(have_memory_at_hand, folder, 2 * size))


def tables(options: Options) -> Iterator[Table]:
    """The one table."""
    samples = options.scaled(SAMPLES)
    found = by_backend(measure, options, options.rounds, samples, str(options.folder))
    ratios = (
        Ratio(
            "extract / (capture + raw write)",
            ("`actscope.extract`",),
            ("capture into memory (ceiling 1)", "raw write of the same bytes (ceiling 2)"),
            at_most=0.8,
        ),
        Ratio(
            "extract / (capture + raw write), float16",
            ("`extract(dtype='float16')`",),
            ("capture, float16", "raw write, float16"),
            at_most=1.1,
        ),
        Ratio(
            "times faster than the peer",
            ("multi-output `predict` and h5py (peer)",),
            ("`actscope.extract`",),
            at_least=3,
        ),
    )
    series = tuple(Series(label, values) for label, values in found.items())
    title = f"ConvNet, all layers, {samples:,} samples, batches of {BATCH_SIZE}"
    yield Table("convnet", title, series, ratios)
