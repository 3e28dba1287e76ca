"""How a run is made ready: what happens at the same time, and what must not."""

import threading

import pytest

from actscope.errors import ModelError
from actscope.extraction import feed_for, prepare
from actscope.request import requested
from numpy_model import Adapter, Model, Trace, rows

PATIENCE = 10.0


class Watched(Adapter):
    """Identifies and compiles at the same time, or else notes which of the two came first."""

    def __init__(self, *, identifies_while_compiling):
        self.identifies_while_compiling = identifies_while_compiling
        self.compiling, self.identified = threading.Event(), threading.Event()
        self.identified_first = []

    def trace(self, model, example):
        trace = Trace(model)
        compile_step = trace.compile

        def compile_watched(*words):
            self.identified_first.append(self.identified.is_set())
            self.compiling.set()
            if self.identifies_while_compiling:
                assert self.identified.wait(PATIENCE)
            return compile_step(*words)

        trace.compile = compile_watched
        return trace

    def provenance(self, model):
        if self.identifies_while_compiling:
            assert self.compiling.wait(PATIENCE)
        found = super().provenance(model)
        self.identified.set()
        return found


def prepared(adapter, batch_size):
    model = Model()
    feed = feed_for(adapter, model, rows(64))
    return prepare(adapter, model, feed, requested(batch_size=batch_size))


def test_the_model_is_identified_while_it_is_compiled():
    run = prepared(Watched(identifies_while_compiling=True), 4)
    assert "weights 2.0" in run.plan.provenance


def test_nothing_runs_beside_the_batches_that_are_timed():
    adapter = Watched(identifies_while_compiling=False)
    prepared(adapter, "auto")
    assert len(adapter.identified_first) > 1
    assert all(adapter.identified_first)


def test_a_model_that_cannot_be_identified_is_not_run(monkeypatch):
    def fail(self, model):
        raise ModelError("no weights")

    monkeypatch.setattr(Adapter, "provenance", fail)
    with pytest.raises(ModelError, match="no weights"):
        prepared(Adapter(), 4)
