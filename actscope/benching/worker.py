"""Runs one backend in a process of its own, a command at a time.

    python -m actscope.benching.worker

reads one JSON object per line on stdin and answers each with one line on stdout that begins with
`ANSWER`; whatever frameworks print besides is passed over.
"""

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actscope.errors import ActscopeError, first_line
from actscope.extraction import Run, feed_for, prepare, record_run
from actscope.memory import peak_host_bytes
from actscope.pipeline import record
from actscope.planning import plan_wanted
from actscope.protocol import Adapter, Array, Step
from actscope.registry import adapter_named
from actscope.request import Request
from actscope.sources import open_source
from actscope.store.writer import Writer

ANSWER = "@actscope "
ADAPTER = "keras"


class _Nowhere:
    """Takes batches and lets them go."""

    def append(self, batch: Any) -> None:
        """Nothing is kept."""

    def commit(self) -> None:
        """Nothing is kept."""


@dataclass
class Worker:
    """A loaded model with what was compiled for each batch size."""

    adapter: Adapter
    model: Any
    data: Any
    words: dict[str, Any]
    runs: dict[int, Run] = field(default_factory=dict)
    forwards: dict[int, Step] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """What identifies the model and where it runs."""
        provenance = self.adapter.provenance(self.model)
        return {
            "software": dict(provenance.software),
            "device": provenance.device,
            "weights_sha256": provenance.weights_sha256,
            "samples": self.feed().samples,
        }

    def feed(self) -> Any:
        """The data, anew."""
        return feed_for(self.adapter, self.model, self.data, self.words["samples"])

    def compile(self, batch_size: int) -> dict[str, Any]:
        """Compile for a batch size; the seconds are those of what records, first batch included."""
        feed = self.feed()
        request = Request(layers=self.words["layers"] or None, batch_size=batch_size)
        start = time.perf_counter()
        run = prepare(self.adapter, self.model, feed, request)
        first = _filled(next(feed.batches(run.batch_size, 0)), run.batch_size)
        _run_once(run.step, first)
        seconds = time.perf_counter() - start
        trace = self.adapter.trace(self.model, feed.example)
        outputs = [layer for layer in trace.layers if layer.is_boundary and layer.outputs]
        last = max(outputs, key=lambda layer: layer.outputs[0].order)
        forward = trace.compile(plan_wanted([last]), run.batch_size)
        # A step may still be compiling when it is there: that is none of the pass's time.
        _run_once(forward, first)
        self.forwards[batch_size] = forward
        self.runs[batch_size] = run
        return {"batch_size": run.batch_size, "compile_seconds": seconds}

    def forward(self, batch_size: int) -> dict[str, Any]:
        """Seconds of the bare forward pass over all samples."""
        run = self.runs[batch_size]
        start = time.perf_counter()
        record(
            self.feed().batches(run.batch_size, 0),
            self.forwards[batch_size],
            _Nowhere(),
            batch_size=run.batch_size,
            stored_inputs=(),
            on_batch=lambda _: None,
        )
        return {"seconds": time.perf_counter() - start}

    def record(self, batch_size: int) -> dict[str, Any]:
        """Seconds of a whole recording, and what it took."""
        run = self.runs[batch_size]
        path = Path(self.words["folder"]) / f"{os.environ['KERAS_BACKEND']}-{batch_size}.h5"
        start = time.perf_counter()
        with Writer(path, run.plan, overwrite=True) as writer:
            record_run(run, self.feed(), writer, lambda _: None)
        seconds = time.perf_counter() - start
        stored = sum(tensor.stored.bytes_per_sample for tensor in run.wanted)
        return {
            "seconds": seconds,
            "recording": str(path),
            "bytes_to_host": stored * run.plan.samples,
            "bytes_to_disk": path.stat().st_size,
        }

    def finish(self) -> dict[str, Any]:
        """Peaks of memory."""
        return {
            "peak_host_bytes": peak_host_bytes(),
            "peak_device_bytes": self.adapter.peak_device_bytes(self.model),
        }


def _run_once(step: Step, batch: tuple[Array, ...]) -> None:
    step.fetch(step.launch(step.stage(batch)))


def _filled(batch: tuple[Array, ...], size: int) -> tuple[Array, ...]:
    from actscope.feed import pad

    return pad(batch, size)


def load(words: dict[str, Any]) -> Worker:
    """The worker for the model and data that `words` names, with the weights that all share."""
    adapter = adapter_named(ADAPTER)
    model = adapter.load(words["model"], backend=os.environ["KERAS_BACKEND"], structure_only=False)
    adapter.share_weights(model, Path(words["weights"]))
    source = open_source(words["data"], adapter.inputs(model))
    return Worker(adapter, model, source.data, words)


def answer(worker: Worker | None, command: dict[str, Any]) -> tuple[Worker | None, dict[str, Any]]:
    """Do what a command says; an error is an answer too."""
    try:
        if command["do"] == "load":
            worker = load(command)
            return worker, worker.described()
        if worker is None:
            raise ActscopeError("nothing is loaded")
        words = {name: value for name, value in command.items() if name != "do"}
        found: dict[str, Any] = getattr(worker, command["do"])(**words)
        return worker, found
    except Exception as error:
        reason = str(error) if isinstance(error, ActscopeError) else first_line(error)
        return worker, {"error": f"{reason}" or type(error).__name__}


def main() -> None:
    """Answer commands until stdin ends."""
    worker: Worker | None = None
    for line in sys.stdin:
        worker, found = answer(worker, json.loads(line))
        sys.stdout.write(f"{ANSWER}{json.dumps(found)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
