"""Runs the Keras tests on every installed backend, in a process each: Keras fixes its backend."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "keras_backend"


@pytest.mark.timeout(2400)  # for hundreds of tests
@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_keras_on(backend):
    missing = [name for name in ("keras", backend) if find_spec(name) is None]
    if missing:
        pytest.skip(f"Keras on {backend} was not tested: {', '.join(missing)} is not installed")
    command = [sys.executable, "-m", "pytest", "-q", str(FOLDER), "--backend", backend]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=FOLDER.parent.parent
    )
    print(done.stdout.strip().splitlines()[-1] if done.stdout else "")
    assert done.returncode == 0, f"Keras on {backend}:\n{done.stdout[-8000:]}{done.stderr[-2000:]}"
