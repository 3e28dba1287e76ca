"""All benchmarks as one command.

    python -m benchmarks                                 # all of them; takes hours
    python -m benchmarks convnet resnet --rounds 3       # some
    python -m benchmarks convnet --scale 0.1             # a quick look
    python -m benchmarks --json found.json --update      # kept, and put into benchmarks/RESULTS.md

Each prints its tables with ceilings, peers and goals, measured in interleaved rounds: the median,
and from where to where the rounds went. None is a test.
"""

import argparse
import json
from importlib import import_module
from pathlib import Path

from benchmarks.measuring import BACKENDS, Options, have_bytecode
from benchmarks.results import machine, update
from benchmarks.tables import as_data, markdown

BENCHMARKS = {
    "convnet": "benchmarks.convnet",
    "growth": "benchmarks.growth",
    "resnet": "benchmarks.resnet",
    "forward": "benchmarks.forward",
    "bert": "benchmarks.bert",
    "gpu": "benchmarks.gpu",
    "keract": "benchmarks.keract_speed",
    "statistics": "benchmarks.keeping",
    "dry-run": "benchmarks.dry_run",
    "store": "benchmarks.store",
    "reading": "benchmarks.reading",
    "codecs": "benchmarks.codecs",
    "copying": "benchmarks.copying",
    "pictures": "benchmarks.pictures",
    "startup": "benchmarks.startup",
    "report": "benchmarks.report_page",
}


def main() -> None:
    """Run the benchmarks that were asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies numbers of samples")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="in memory")
    parser.add_argument("--disk", type=Path, default=Path("/tmp"), help="on a disk")
    parser.add_argument("--keract", help="a Python with Keract 4.5.2 and TensorFlow 2.15.1")
    parser.add_argument("--json", type=Path, help="where to write what was found")
    parser.add_argument("--update", action="store_true", help="put it into benchmarks/RESULTS.md")
    words = parser.parse_args()
    unknown = set(words.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"unknown benchmark {sorted(unknown)[0]!r}: {', '.join(BENCHMARKS)}")
    options = Options(
        backends=tuple(words.backends.split(",")),
        rounds=words.rounds,
        folder=words.folder,
        disk=words.disk,
        scale=words.scale,
        keract=words.keract,
    )
    have_bytecode()
    found = []
    for name in words.names or BENCHMARKS:
        for table in import_module(BENCHMARKS[name]).tables(options):
            print(f"\n{markdown(table)}", flush=True)
            found.append(table)
            if words.update:
                update(table, options)
            if words.json:
                content = {"machine": machine(), "tables": [as_data(one) for one in found]}
                words.json.write_text(json.dumps(content, indent=1, default=str))


if __name__ == "__main__":
    main()
