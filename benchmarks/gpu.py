"""Recording on a GPU, once it is under way, beside the three things that bound it.

Needs a GPU that JAX or PyTorch sees, and `pip install keras-hub`. Per backend and model, in a
process of its own, interleaved rounds of

- forward: the bare model over as many batches, which are on the GPU, its outputs left there;
- copy: as many bytes from the GPU into host memory that it writes to by itself;
- raw write: as many bytes to a file with `write`;
- recording: everything after compiling, from the first batch to the finished file.

The batch size is the tool's own choice. What compiling takes is told beside, not counted. Where
there is no GPU there are no tables.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import bert, resnet
from benchmarks.convnet import raw_write
from benchmarks.measuring import BACKENDS, Options, in_process, new_file, rounds_of
from benchmarks.tables import Ratio, Series, Table

COPIED_AT_A_TIME = 2**28
DIFFERENT_IMAGES = 512
FORWARD, COPY, WRITE = "bare forward pass", "copy to the host", "raw write of the same bytes"
RECORDING = "recording"
SLOWEST = "the slowest of the three (ceiling)"


@dataclass(frozen=True)
class Work:
    """What is recorded.

    Attributes:
        title: of the table.
        samples: how many.
        words: of `actscope.extract`.
    """

    title: str
    samples: int
    words: Mapping[str, Any] = field(default_factory=dict)


WORKS = {
    "gpu-resnet-whole": Work(
        "ResNet50, 53 convolutions whole, float16",
        640,
        {"layers": "type:Conv2D", "dtype": "float16"},
    ),
    "gpu-resnet-mean": Work(
        "ResNet50, 53 convolutions averaged", 16_384, {"layers": "type:Conv2D", "reduce": "mean"}
    ),
    "gpu-bert": Work("BERT-base shape, 12 blocks", 2048, {"layers": "transformer_layer_*"}),
}


def gpu() -> str:
    """The GPU that the backend sees; empty where it sees none."""
    import keras

    if keras.config.backend() == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    import jax

    return "" if jax.default_backend() == "cpu" else str(jax.devices()[0].device_kind)


def model_and_data(name: str, count: int) -> tuple[Any, Any]:
    """The model, with random weights, and random inputs, the same pictures many times."""
    if name == "gpu-bert":
        return bert.build(), bert.texts(count)
    few = resnet.images(DIFFERENT_IMAGES)
    return resnet.build(), np.resize(few, (count, *few.shape[1:]))


def forward(model: Any, batch: Any) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """The bare pass over a batch that is on the GPU, and how to wait for what it returns."""
    import keras

    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
    if keras.config.backend() == "torch":
        import torch

        def run() -> Any:
            with torch.inference_mode():
                return model(tensors, training=False)

        return run, lambda _: torch.cuda.synchronize()
    import jax

    values = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]
    compiled = jax.jit(partial(model.stateless_call, training=False))
    return partial(compiled, values, others, tensors), jax.block_until_ready


def copier(size: int) -> Callable[[], None]:
    """Copies as many bytes from the GPU to the host, a piece after another."""
    import keras

    piece = min(size, COPIED_AT_A_TIME)
    times = -(-size // piece)
    if keras.config.backend() == "torch":
        import torch

        source = torch.zeros(piece, dtype=torch.uint8, device="cuda")
        target = torch.empty(piece, dtype=torch.uint8, pin_memory=True)

        def copy() -> None:
            for _ in range(times):
                target.copy_(source, non_blocking=True)
            torch.cuda.synchronize()

        return copy
    import jax
    import jax.numpy as jnp

    on_device = jnp.zeros(piece, jnp.uint8)
    there = on_device.sharding.with_memory_kind("pinned_host")

    def move() -> None:
        under_way = None
        for _ in range(times):
            ahead = jax.device_put(on_device, there)
            jax.block_until_ready(under_way)
            under_way = ahead
        jax.block_until_ready(under_way)

    return move


def measure(name: str, count: int, rounds: int, folder: str) -> dict[str, list[float]]:
    """Seconds of each in interleaved rounds, in this process."""
    from actscope.extraction import feed_for, prepare, record_run
    from actscope.registry import adapter_for
    from actscope.request import requested
    from actscope.store.writers import open_writer

    model, data = model_and_data(name, count)
    adapter = adapter_for(model)
    started = time.perf_counter()
    feed = feed_for(adapter, model, data)
    words = {"batch_size": None, "store_inputs": False, **WORKS[name].words}
    run = prepare(adapter, model, feed, requested(**words))
    ready = time.perf_counter() - started
    size = run.batch_size
    batches = -(-count // size)
    first = {key: rows[:size] for key, rows in data.items()} if name == "gpu-bert" else data[:size]
    bare, wait = forward(model, first)
    same = [np.ones((size, *tensor.shape), tensor.dtype) for tensor in run.plan.tensors]

    def compute() -> None:
        outputs = None
        for _ in range(batches):
            outputs = bare()
        wait(outputs)

    def write() -> None:
        with new_file(folder) as path:
            raw_write([same] * batches, path)

    def record() -> None:
        with new_file(folder) as path, open_writer(Path(path), run.plan) as writer:
            record_run(run, feed, writer, lambda _: None)
            writer.complete()

    copy = copier(run.plan.bytes_per_sample * count)
    found = rounds_of({FORWARD: compute, COPY: copy, WRITE: write, RECORDING: record}, rounds)
    ceilings = zip(found[FORWARD], found[COPY], found[WRITE], strict=True)
    return {
        **found,
        SLOWEST: [max(times) for times in ceilings],
        "until it runs: tracing, compiling": [ready],
        "samples per batch": [float(size)],
        "recorded": [run.plan.bytes_per_sample * count / 1e9],
    }


def tables(options: Options) -> Iterator[Table]:
    """One table per model, where there is a GPU."""
    found_on = {
        backend: name
        for backend in ("jax", "torch")
        if backend in options.backends and (name := in_process(gpu, backend=backend))
    }
    units = {"samples per batch": "", "recorded": "GB"}
    for name, work in WORKS.items() if found_on else ():
        count = options.scaled(work.samples, 64)
        found: dict[str, dict[str, list[float]]] = {}
        for backend in found_on:
            words = (name, count, options.rounds, str(options.folder))
            for label, values in in_process(measure, *words, backend=backend).items():
                found.setdefault(label, {})[BACKENDS[backend]] = values
        series = tuple(
            Series(label, values, units.get(label, "s")) for label, values in found.items()
        )
        reached = Ratio("ceiling / recording", (SLOWEST,), (RECORDING,), at_least=0.9)
        note = f"The GPU is an {' or an '.join(sorted(set(found_on.values())))}."
        title = f"On a GPU: {work.title}, {count:,} samples"
        yield Table(name, title, series, (reached,), note)
