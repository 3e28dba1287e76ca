"""What more samples cost: the ConvNet, all layers, over 15,000, 60,000 and 240,000 samples.

Seconds, and the process's peak of memory without the input, each in a fresh process; beside it what
plain writes of as many bytes take, whose own growth is the machine's.
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
from benchmarks.tables import Ratio, Series, Table, Values

TIME, PLAIN, MEMORY = "", "plain writes, ", "memory, "
"""How the label of what is measured begins; how many samples it was measured with follows."""


def growth(samples: int, folder: str) -> dict[str, float]:
    """Of a run its seconds, those of plain writes, and the peak of megabytes without the input."""
    model, data = build(), images(samples)
    plain_writes = partial(have_memory_at_hand, folder, samples * BYTES_PER_SAMPLE)
    with new_file(folder) as path:
        extract(model, data[: 4 * BATCH_SIZE], path)
        plain_writes()
        seconds: list[float] = []
        peak = peak_since(lambda: seconds.append(timed(partial(extract, model, data, path))))
    return {TIME: seconds[0], PLAIN: timed(plain_writes), MEMORY: (peak - data.nbytes) / 1e6}


def tables(options: Options) -> Iterator[Table]:
    """Each number of samples in its own processes, as many times as there are rounds."""
    sizes = [options.scaled(samples) for samples in (SAMPLES // 4, SAMPLES, 4 * SAMPLES)]
    found: dict[str, dict[str, list[float]]] = {
        f"{kind}{samples:,} samples": {} for kind in (TIME, PLAIN, MEMORY) for samples in sizes
    }
    for backend in options.backends * options.rounds:
        for samples in sizes:
            one = in_process(growth, samples, str(options.folder), backend=backend)
            for kind, value in one.items():
                columns = found[f"{kind}{samples:,} samples"]
                columns.setdefault(BACKENDS[backend], []).append(value)
    yield Table(
        "growth",
        "ConvNet, all layers: what more samples cost",
        tuple(_series(label, values) for label, values in found.items()),
        tuple(_ratios([f"{samples:,} samples" for samples in sizes])),
        "The process's peak of resident memory while it records, without the input. Plain writes "
        "are of as many bytes, to the same file system.",
    )


def _series(label: str, values: Values) -> Series:
    return Series(label, values, "MB" if label.startswith(MEMORY) else "s")


def _ratios(sizes: list[str]) -> Iterator[Ratio]:
    for smaller, larger in ((sizes[1], sizes[2]), (sizes[0], sizes[1])):
        for kind, words in ((TIME, "seconds"), (PLAIN, "plain writes")):
            label = f"{words}, {larger} / {smaller}"
            yield Ratio(label, (f"{kind}{larger}",), (f"{kind}{smaller}",))
    memory = [f"{MEMORY}{size}" for size in sizes]
    yield Ratio("memory, largest / smallest", (memory[2],), (memory[0],), at_most=1.05)
