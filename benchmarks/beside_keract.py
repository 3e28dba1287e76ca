"""actscope.keract beside Keract 4.5.2: the same keys, the same values.

    python -m venv old && old/bin/pip install 'tensorflow-cpu==2.15.1' 'numpy<2' keract==4.5.2
    KERAS_BACKEND=jax python -m benchmarks.beside_keract old/bin/python

Keract runs in its own environment on TensorFlow 2.15, with the same models, weights and inputs;
its results come as a file. Prints for each model whether the keys and their order agree, and the
largest differences relative to the largest value.
"""

import argparse
import pickle
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

if __package__:
    from benchmarks.keract_models import MODELS, inputs_of, targets_of, weights_of
else:  # in Keract's environment, where actscope is not installed
    from keract_models import MODELS, inputs_of, targets_of, weights_of  # type: ignore


def results(keras: Any, library: Any, name: str) -> dict[str, Any]:
    """Activations and gradients of one model, by Keract's functions."""
    model = MODELS[name](keras)
    model.set_weights(weights_of(model))
    model.compile(loss="mse", optimizer="sgd")
    inputs = inputs_of(model)
    x = inputs if len(inputs) > 1 else inputs[0]
    y = targets_of(model)
    activations = library.get_activations(model, x)
    weights = library.get_gradients_of_trainable_weights(model, x, y)
    gradients = library.get_gradients_of_activations(model, x, y)
    return {
        "activations": {key: np.asarray(value) for key, value in activations.items()},
        "gradients": {key: np.asarray(value) for key, value in gradients.items()},
        "weights": {key: np.asarray(value) for key, value in weights.items()},
    }


def old(path: Path) -> None:
    """Run Keract on every model and leave what it gives in a file."""
    import keract
    import tensorflow as tf

    tf.compat.v1.disable_eager_execution()
    tf.compat.v1.experimental.output_all_intermediates(True)  # for recurrent layers
    found = {}
    for name in MODELS:
        tf.keras.backend.clear_session()
        try:
            found[name] = results(tf.keras, keract, name)
        except Exception as error:
            found[name] = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    path.write_bytes(pickle.dumps(found))


def compared(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Whether the keys agree, and by how much the values differ, in their order."""
    other = [key for key, named in zip(ours, theirs, strict=True) if key != named]
    worst = 0.0
    for value, expected in zip(ours.values(), theirs.values(), strict=True):
        scale = float(np.abs(expected).max()) or 1.0
        worst = max(worst, float(np.abs(value - expected).max()) / scale)
    named = f" (named otherwise: {', '.join(other)})" if other else ""
    return f"{len(ours)} keys, {worst:.0e}{named}"


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="Python with Keract 4.5.2 and TensorFlow 2.15.1")
    parser.add_argument("--old", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.old:
        old(arguments.old)
        return
    import keras

    from actscope import keract

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keract.pickle"
        command = [arguments.python, __file__, arguments.python, "--old", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        theirs = pickle.loads(path.read_bytes())
    print(f"{'model':14}{'activations':28}{'gradients':28}{'weights':28}")
    for name in MODELS:
        if "error" in theirs[name]:
            print(f"{name:14}Keract fails: {theirs[name]['error']}")
            continue
        ours = results(keras, keract, name)
        cells = [compared(ours[kind], theirs[name][kind]) for kind in ours]
        print(f"{name:14}" + "".join(f"{cell:28}" for cell in cells))


if __name__ == "__main__":
    main()
