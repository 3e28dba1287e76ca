"""How many pictures of a layer are drawn in a second.

`actscope render VERB run.h5 LAYER --each --jobs JOBS`, from the start of the command to its end, on
one core and on two: grids of 64 channels of 28x28, heat maps over the input, bars of 128 values.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measuring import Options, actscope_command, rounds_of
from benchmarks.sample_recordings import FEATURE_MAPS, VECTOR, write_pictures
from benchmarks.tables import Ratio, Series, Table

PICTURES = 1000
DRAWN = {"grid": FEATURE_MAPS, "heatmap": FEATURE_MAPS, "vector": VECTOR}
JOBS = {"`--jobs 1`": 1, "`--jobs 2`": 2}
COUNT = "pictures"


def draw(verb: str, folder: Path, pictures: int, jobs: int) -> None:
    """One run of the command, over what is there already."""
    words = [verb, str(folder / "run.h5"), DRAWN[verb], "--each", "--samples", str(pictures)]
    words += ["--jobs", str(jobs), "-o", str(folder / verb), "--overwrite"]
    subprocess.run([actscope_command(), "render", *words], stdout=subprocess.DEVNULL, check=True)


def measure(pictures: int, options: Options) -> dict[str, dict[str, list[float]]]:
    """Seconds for `pictures` PNGs, by the number of jobs and the command's verb."""
    found: dict[str, dict[str, list[float]]] = {label: {} for label in JOBS}
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        write_pictures(folder / "run.h5", pictures)
        for verb in DRAWN:
            ways = {
                label: partial(draw, verb, folder, pictures, jobs) for label, jobs in JOBS.items()
            }
            for label, seconds in rounds_of(ways, options.rounds).items():
                found[label][verb] = seconds
    return found


def tables(options: Options) -> Iterator[Table]:
    """One table: the seconds of each way, and how many pictures a second that makes."""
    pictures = options.scaled(PICTURES)
    found = measure(pictures, options)
    count = {verb: [float(pictures)] * options.rounds for verb in DRAWN}
    series = (
        Series(COUNT, count, ""),
        *(Series(label, values) for label, values in found.items()),
    )
    ratios = tuple(
        Ratio(
            f"pictures per second, {label}", (COUNT,), (label,), at_least=10 if jobs > 1 else None
        )
        for label, jobs in JOBS.items()
    )
    title = f"{pictures:,} PNGs of one layer, drawn by one command"
    yield Table("pictures", title, series, ratios)
