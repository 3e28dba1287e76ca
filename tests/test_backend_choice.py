"""Which backend Keras is made to use, decided without importing Keras."""

import json
import sys
from types import SimpleNamespace

import pytest

from actscope.errors import BackendError
from actscope_keras import backend


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with Keras and two backends, no configuration, and no Keras imported yet."""

    def have(*names):
        monkeypatch.setattr(backend, "find_spec", lambda name: name in names or None)

    have("keras", "tensorflow", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    return SimpleNamespace(have=have, home=tmp_path, environment=backend.os.environ)


def configure(home, content):
    (home / "keras.json").write_text(content)


def test_the_one_asked_for_comes_first(machine, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert backend.choose("torch") == "torch"
    assert machine.environment["KERAS_BACKEND"] == "torch"


def test_then_the_environment(machine, monkeypatch):
    configure(machine.home, json.dumps({"backend": "tensorflow"}))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert backend.choose() == "torch"


def test_then_the_configuration_where_that_backend_is_installed(machine):
    configure(machine.home, json.dumps({"backend": "torch"}))
    assert backend.choose() == "torch"


@pytest.mark.parametrize("content", ['{"backend": "jax"}', "not json", "[]", "{}"])
def test_then_the_first_installed(machine, content):
    configure(machine.home, content)
    assert backend.choose() == "tensorflow"
    machine.environment["KERAS_BACKEND"] = ""
    machine.have("keras", "jax", "torch")
    configure(machine.home, "{}")
    assert backend.choose() == "jax"


@pytest.mark.parametrize(
    ("installed", "requested", "message"),
    [
        (["keras", "torch"], "jax", r"'jax' is not installed: pip install 'actscope\[jax\]'"),
        (["keras"], None, r"no backend for Keras is installed: pip install"),
        (["jax"], None, "Keras is not installed: pip install"),
        (["keras", "jax"], "theano", "unknown backend 'theano': choose one of jax"),
    ],
)
def test_what_is_missing_is_named_with_what_brings_it(machine, installed, requested, message):
    machine.have(*installed)
    with pytest.raises(BackendError, match=message):
        backend.choose(requested)


def test_keras_that_already_runs_cannot_change(machine, monkeypatch):
    running = SimpleNamespace(config=SimpleNamespace(backend=lambda: "torch"))
    monkeypatch.setitem(sys.modules, "keras", running)
    assert backend.choose("torch") == "torch"
    with pytest.raises(BackendError, match=r"already runs on 'torch'.*KERAS_BACKEND=tensorflow"):
        backend.choose("tensorflow")
