"""Changes recordings at random, and does with each what people do with a file.

    python -m benchmarks.fuzz [--first 0] [--mutants 100000] [--folder /dev/shm] [--only NUMBER]

Each mutant is opened, listed and read whole, with its statistics, and verified, in a child process
that takes some hundred of them. Nothing but an `ActscopeError` may come out, within 5 seconds and
the file's size plus 200 MB; where the rows are not those that went in, and a checksum covers them,
`verify` must say so. Mutant n is the same one each time: a range can be done in parts, and one
alone with `--only`. Prints a table at the end.
"""

import argparse
import json
import os
import select
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import actscope.store.verification  # noqa: F401 - here, and not in each child anew
from benchmarks.fuzzing.judging import FAILURES, Verdict, judge, memory
from benchmarks.fuzzing.mutations import mutant
from benchmarks.fuzzing.originals import NAME, Original, originals, small_blocks

PER_CHILD = 250
SECONDS = 5.0
BYTES = 200 * 2**20


@dataclass
class Tally:
    """What became of the mutants.

    Attributes:
        counts: by outcome, for each kind of recording.
        failures: number and description of each mutant that was not treated as it must be.
        slowest: seconds, and which mutant took them.
        largest: bytes of memory beside the file's size, and which mutant took them.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[int, int] = (0, -1)

    def add(self, number: int, kind: str, verdict: Verdict, seconds: float, taken: int) -> None:
        """Count one mutant."""
        self.counts.setdefault(kind, Counter())[verdict.outcome] += 1
        if verdict.outcome in FAILURES:
            self.failures.append((number, f"{kind}: {verdict.outcome} {verdict.detail}"))
        self.slowest = max(self.slowest, (seconds, number))
        self.largest = max(self.largest, (taken, number))


def examine(number: int, original: Original, folder: Path) -> Verdict:
    """Make a mutant, and judge it."""
    files, words = mutant(original, number)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    verdict = judge(folder / NAME, original)
    for name in files:
        (folder / name).unlink()
    return verdict._replace(detail=f"{verdict.detail} [{words}]")


def child(numbers: Sequence[int], kinds: Sequence[Original], folder: Path, pipe: int) -> None:
    """Examine mutants, and write a line about each."""
    before = memory()
    for number in numbers:
        original = kinds[number % len(kinds)]
        start = time.perf_counter()
        verdict = examine(number, original, folder)
        seconds = time.perf_counter() - start
        size = sum(map(len, original.files.values()))
        taken = max(0, memory() - before - size)
        if taken > BYTES:
            verdict = Verdict("MEMORY", f"{taken:,} bytes {verdict.detail}")
        line = json.dumps([number, *verdict, seconds, taken])
        os.write(pipe, line.encode() + b"\n")


def run_child(
    numbers: Sequence[int], kinds: Sequence[Original], folder: Path, tally: Tally
) -> list[int]:
    """Examine mutants in a child process; returns those that it did not come to."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        child(numbers, kinds, folder, writing)
        os._exit(0)
    os.close(writing)
    left = list(numbers)
    hangs = False
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        rest = b""
        while not hangs:
            hangs = not select.select([pipe], [], [], SECONDS)[0]
            found = b"" if hangs else pipe.read(2**16)
            if not found:
                break
            *lines, rest = (rest + found).split(b"\n")
            for line in lines:
                number, outcome, detail, seconds, taken = json.loads(line)
                kind = kinds[number % len(kinds)].name
                tally.add(number, kind, Verdict(outcome, detail), seconds, taken)
                left.remove(number)
    if hangs:
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if hangs or status:
        number = left.pop(0)
        verdict = Verdict("HANG" if hangs else "CRASH", f"status {status}")
        tally.add(number, kinds[number % len(kinds)].name, verdict, SECONDS, 0)
    return left


def fuzz(first: int, count: int, folder: Path) -> Tally:
    """Examine so many mutants from the number `first` on."""
    kinds, tally = originals(), Tally()
    with TemporaryDirectory(dir=folder) as place, small_blocks():
        for start in range(first, first + count, PER_CHILD):
            left = list(range(start, min(start + PER_CHILD, first + count)))
            while left:
                left = run_child(left, kinds, Path(place), tally)
    return tally


def print_table(tally: Tally) -> None:
    """The counts, a line per kind of recording, and what failed."""
    outcomes = sorted({outcome for counts in tally.counts.values() for outcome in counts})
    print("| recording | " + " | ".join(outcomes) + " | all |")
    print("|---" * (len(outcomes) + 2) + "|")
    together: Counter[str] = Counter()
    for kind, counts in tally.counts.items():
        together += counts
        cells = [f"{counts[outcome]:,}" for outcome in outcomes]
        print(f"| {kind} | " + " | ".join(cells) + f" | {counts.total():,} |")
    cells = [f"{together[outcome]:,}" for outcome in outcomes]
    print("| all | " + " | ".join(cells) + f" | {together.total():,} |")
    print(f"slowest {tally.slowest[0]:.2f} s (mutant {tally.slowest[1]})")
    print(f"most memory {tally.largest[0] / 2**20:.0f} MB (mutant {tally.largest[1]})")
    for number, words in tally.failures:
        print(f"FAILED {number} {words}")


def main() -> None:
    """Examine a range of mutants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--only", type=int)
    words = parser.parse_args()
    if words.only is None:
        print_table(fuzz(words.first, words.mutants, words.folder))
        return
    kinds = originals()
    with TemporaryDirectory(dir=words.folder) as place, small_blocks():
        print(examine(words.only, kinds[words.only % len(kinds)], Path(place)))


if __name__ == "__main__":
    main()
