"""Runs scripts in a process of their own, where settings must be there before Keras is."""

import os
import subprocess
import sys

import keras


def run_alone(script, path, **environment):
    """Run a script, in which PATH stands for `path`, on the backend that runs here."""
    done = subprocess.run(
        [sys.executable, "-c", script.replace("PATH", repr(str(path)))],
        env={**os.environ, "KERAS_BACKEND": keras.config.backend(), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
