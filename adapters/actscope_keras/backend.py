"""Chooses the backend that Keras runs on, before Keras is imported and has chosen for itself."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from actscope.errors import BackendError

BACKENDS = ("jax", "tensorflow", "torch")


def installed() -> list[str]:
    """The backends that are installed, in the order of preference."""
    return [name for name in BACKENDS if find_spec(name) is not None]


def choose(requested: str | None = None) -> str:
    """Decide on a backend, and have Keras use it.

    The one asked for, else `KERAS_BACKEND`, else the one in Keras's configuration where it is
    installed (Keras writes `tensorflow` there by itself), else the first one installed.

    Raises:
        BackendError: it is unknown or not installed, or Keras already runs on another.
    """
    if find_spec("keras") is None:
        raise BackendError("Keras is not installed: pip install 'actscope[jax]' brings it with JAX")
    name = requested or os.environ.get("KERAS_BACKEND") or _configured() or _first_installed()
    if name not in BACKENDS:
        raise BackendError(f"unknown backend {name!r}: choose one of {', '.join(BACKENDS)}")
    if find_spec(name) is None:
        raise BackendError(
            f"the backend {name!r} is not installed: pip install 'actscope[{name}]' brings it "
            f"(installed: {', '.join(installed()) or 'none'})"
        )
    if "keras" in sys.modules:
        return _check_running(name)
    os.environ["KERAS_BACKEND"] = name
    return name


def _check_running(name: str) -> str:
    running: str = sys.modules["keras"].config.backend()
    if running != name:
        raise BackendError(
            f"Keras already runs on {running!r} in this process and cannot change to {name!r}: "
            f"set KERAS_BACKEND={name} before Keras is imported"
        )
    return name


def _configured() -> str | None:
    home = os.environ.get("KERAS_HOME")
    path = (Path(home) if home else Path.home() / ".keras") / "keras.json"
    try:
        backend = json.loads(path.read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return backend if backend in installed() else None


def _first_installed() -> str:
    if not installed():
        raise BackendError(
            "no backend for Keras is installed: pip install 'actscope[jax]' "
            "(or 'actscope[tensorflow]', 'actscope[torch]') brings one"
        )
    return installed()[0]
