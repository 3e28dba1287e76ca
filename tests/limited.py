"""What people do with a file that came from anyone, each in a child whose time and memory count.

    python tests/limited.py

reads lines of JSON, `[verb, path, good]`, and answers each with what it said (`ok` where nothing
was wrong), the kilobytes it took, and the seconds. It is a process of its own, so that starting a
child copies no threads of other libraries, and costs milliseconds.
"""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen

HANG = 20
"""Seconds after which a child is ended."""


def everything(recording):
    """Read all of it, as a careless program would."""
    for path in recording:
        for output in recording[path].outputs:
            output[:]
            if output.gradient is not None:
                output.gradient[:]
    for tensor in recording.inputs:
        tensor[:]
    return recording.ids, recording.labels, recording.epochs


def opened(path, _good):
    import actscope

    with actscope.open(path) as recording:
        everything(recording)


def informed(path, _good):
    import actscope
    from actscope import listing

    with actscope.open(path) as recording:
        listing.recording_table(recording)
        json.dumps(listing.recording_json(recording))


def rendered(path, _good):
    import actscope
    from actscope import render

    with actscope.open(path) as recording:
        for layer in recording.values():
            if layer.ndim > 2:
                render.grid(layer, sample=0)
            else:
                render.vector(layer, sample=0)


def compared(path, good):
    import actscope

    actscope.compare(good, path)


def verified(path, _good):
    from actscope.errors import FormatError
    from actscope.store.verification import findings

    found = findings(Path(path))
    if found:
        raise FormatError(
            f"{path}: {len(found)} findings, first {found[0].place}: {found[0].problem}"
        )


VERBS = {
    "open": opened,
    "info": informed,
    "render": rendered,
    "compare": compared,
    "verify": verified,
}


def child(verb, path, good):
    """What to answer."""
    from actscope.errors import ActscopeError

    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    try:
        VERBS[verb](path, good)
        said = "ok"
    except ActscopeError as error:
        said = f"{type(error).__name__} {error}"
    except BaseException as error:  # nothing else may come out
        said = f"TRACEBACK {type(error).__name__} {error}"
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return said, taken, time.perf_counter() - start


def answer(verb, path, good):
    """What the child says, or how it ended."""
    reading, writing = os.pipe()
    number = os.fork()
    if not number:
        signal.alarm(HANG)
        os.write(writing, json.dumps(child(verb, path, good))[:60_000].encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(number, 0)
    return json.loads(said) if said else (f"ENDED by {status}", 0, 0.0)


class Limited:
    """The process, for a test session."""

    def __init__(self):
        self._process = Popen([sys.executable, __file__], stdin=PIPE, stdout=PIPE, text=True)

    def __call__(self, verb, path, good):
        """What the verb says of the file, the kilobytes it took, the seconds."""
        self._process.stdin.write(json.dumps([verb, str(path), str(good)]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def main():
    # So that no child has to import anything.
    import matplotlib.backends.backend_agg  # noqa: F401

    import actscope
    import actscope.store.verification
    from actscope import listing, render  # noqa: F401

    assert actscope.open, actscope.compare
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(*json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
