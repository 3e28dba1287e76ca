"""What more samples cost: the ConvNet, all layers, over 15,000, 60,000 and 240,000 samples.

Seconds, and the process's peak of memory without the input, each in a fresh process.
"""

from collections.abc import Iterator
from functools import partial

from benchmarks.convnet import BATCH_SIZE, BYTES_PER_SAMPLE, SAMPLES, build, extract, images
from benchmarks.measuring import (
    BACKENDS,
    Options,
    have_memory_at_hand,
    in_process,
    new_file,
    peak_since,
    timed,
)
from benchmarks.tables import Ratio, Series, Table


def growth(samples: int, folder: str) -> tuple[float, float]:
    """Seconds, and the process's peak of resident megabytes without the input, of one run."""
    model, data = build(), images(samples)
    with new_file(folder) as path:
        extract(model, data[: 4 * BATCH_SIZE], path)
        have_memory_at_hand(folder, samples * BYTES_PER_SAMPLE)
        seconds: list[float] = []
        peak = peak_since(lambda: seconds.append(timed(partial(extract, model, data, path))))
    return seconds[0], (peak - data.nbytes) / 1e6


def tables(options: Options) -> Iterator[Table]:
    """Each number of samples in its own processes, as many times as there are rounds."""
    seconds: dict[int, dict[str, list[float]]] = {}
    peaks: dict[int, dict[str, list[float]]] = {}
    sizes = [options.scaled(samples) for samples in (SAMPLES // 4, SAMPLES, 4 * SAMPLES)]
    for _ in range(options.rounds):
        for backend in options.backends:
            for samples in sizes:
                column = BACKENDS[backend]
                one = in_process(growth, samples, str(options.folder), backend=backend)
                seconds.setdefault(samples, {}).setdefault(column, []).append(one[0])
                peaks.setdefault(samples, {}).setdefault(column, []).append(one[1])
    small, middle, large = (f"{samples:,} samples" for samples in sizes)
    yield Table(
        "growth",
        "ConvNet, all layers: what more samples cost",
        (
            *(Series(f"{samples:,} samples", values) for samples, values in seconds.items()),
            *(Series(f"memory, {samples:,}", values, "MB") for samples, values in peaks.items()),
        ),
        (
            Ratio(f"seconds, {large} / {middle}", (large,), (middle,)),
            Ratio(f"seconds, {middle} / {small}", (middle,), (small,)),
            Ratio(
                "memory, largest / smallest",
                (f"memory, {sizes[2]:,}",),
                (f"memory, {sizes[0]:,}",),
                at_most=1.05,
            ),
        ),
        "The process's peak of resident memory while it records, without the input.",
    )
