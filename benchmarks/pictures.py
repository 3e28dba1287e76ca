"""How many pictures of a layer are drawn in a second.

    python -m benchmarks.pictures [--pictures 1000] [--jobs 2] [--rounds 1] [--folder /dev/shm]

`actscope render VERB run.h5 LAYER --each --jobs JOBS`, from the start of the command to its
end, for grids of 64 channels of 28×28, heat maps over the input, and bars of 128 values.
"""

import argparse
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.sample_recordings import FEATURE_MAPS, VECTOR, write_pictures

DRAWN = {"grid": FEATURE_MAPS, "heatmap": FEATURE_MAPS, "vector": VECTOR}


def measure(pictures: int, jobs: int, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Seconds for `pictures` PNGs of each kind, by the command's verb."""
    actscope = str(Path(sysconfig.get_path("scripts")) / "actscope")
    found: dict[str, list[float]] = {verb: [] for verb in DRAWN}
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        recording, drawn = Path(temporary) / "run.h5", Path(temporary) / "pictures"
        write_pictures(recording, pictures)
        for _ in range(rounds):
            for verb, layer in DRAWN.items():
                command = [actscope, "render", verb, str(recording), layer, "--each", "--overwrite"]
                command += ["--samples", str(pictures), "--jobs", str(jobs), "-o", str(drawn)]
                start = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
                found[verb].append(time.perf_counter() - start)
    return found


def show(found: dict[str, list[float]], pictures: int) -> None:
    """Print pictures per second: the median of the rounds, the slowest and the fastest."""
    print(f"{'pictures/s':12}{'median':>8}{'from':>8}{'to':>8}")
    for verb, seconds in found.items():
        row = (median(seconds), max(seconds), min(seconds))
        print(f"{verb:12}" + "".join(f"{pictures / value:8.1f}" for value in row))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    words = parser.parse_args()
    show(measure(words.pictures, words.jobs, words.rounds, words.folder), words.pictures)


if __name__ == "__main__":
    main()
