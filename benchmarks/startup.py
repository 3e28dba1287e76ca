"""How long commands take from a cold start, beside the bare imports of what they need.

    python -m benchmarks.startup [--rounds 15]

Whole processes, interleaved: `import actscope`, `actscope info`, and `actscope render grid` of 64
channels to a PNG, each after the imports alone of the libraries that it cannot do without.
"""

import argparse
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.sample_recordings import FEATURE_MAPS, write_pictures

SAMPLES = 16
BARE_INFO = "import click, h5py, rich.console, rich.table"
BARE_GRID = "import click, h5py, matplotlib.figure, matplotlib.backends.backend_agg"
PAIRS = {
    "import actscope": "python",
    "actscope info": "its imports",
    "actscope render grid": "the imports of both",
}
"""Each command, and what it is to be compared with."""


def commands(folder: Path) -> dict[str, list[str]]:
    """The command lines by name, in the order in which they are run."""
    actscope = str(Path(sysconfig.get_path("scripts")) / "actscope")
    recording, picture = str(folder / "run.h5"), str(folder / "grid.png")
    grid = [actscope, "render", "grid", recording, FEATURE_MAPS, "-o", picture, "--overwrite"]
    return {
        "python": [sys.executable, "-c", "pass"],
        "import actscope": [sys.executable, "-c", "import actscope"],
        "its imports": [sys.executable, "-c", BARE_INFO],
        "actscope info": [actscope, "info", recording],
        "the imports of both": [sys.executable, "-c", BARE_GRID],
        "actscope render grid": grid,
    }


def measure(rounds: int) -> dict[str, list[float]]:
    """Seconds of each process, by name, a round after one to warm the disk's cache up."""
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder) / "run.h5", SAMPLES)
        run = commands(Path(folder))
        found: dict[str, list[float]] = {name: [] for name in run}
        for _ in range(rounds + 1):
            for name, command in run.items():
                start = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
                found[name].append(time.perf_counter() - start)
    return {name: seconds[1:] for name, seconds in found.items()}


def show(found: dict[str, list[float]]) -> None:
    """Print medians and spread, and how much longer each command takes than its bare imports."""
    print(f"{'seconds':24}{'median':>8}{'from':>8}{'to':>8}{'bare':>8}{'more':>8}")
    for name, bare in PAIRS.items():
        seconds, least = found[name], median(found[bare])
        row = (median(seconds), min(seconds), max(seconds), least, median(seconds) - least)
        print(f"{name:24}" + "".join(f"{value:8.3f}" for value in row))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    show(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
