"""Which architectures can be recorded: each model on each backend, against a reference.

    python -m benchmarks.architectures [--only NAME ...] [--backends jax tensorflow torch]
                                       [--results FILE] [--markdown docs/architectures.md]

Every case runs in a process of its own, so that one that fails does not stop the others; what is
in the results' file already is not run again. Models have random weights and small inputs. The
reference does without actscope: the outputs of a `keras.Model` made to every layer and operation of
the functional graph, and for layers within transformer blocks their own formula, in NumPy. The
models of KerasHub need `pip install keras-hub`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

BACKENDS = ("jax", "tensorflow", "torch")
SAMPLES = 3
TOLERANCE = 1e-4
"""Largest difference that counts as rounding, relative to a layer's largest value."""

IMAGES = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "Xception": 71,
}
"""The smallest member of every family of `keras.applications`, and the smallest input it takes."""

WORDS = {"vocabulary_size": 100, "num_layers": 2, "num_heads": 2, "hidden_dim": 16}
PROJECTIONS = {
    "BERT": ("embeddings_dropout", "transformer_layer_0/self_attention_layer"),
    "GPT-2": (
        "transformer_layer_0/self_attention_layer_norm",
        "transformer_layer_0/self_attention",
    ),
    "ViT": ("vit_encoder/transformer_block_1/ln_1", "vit_encoder/transformer_block_1/mha"),
}
"""For blocks checked by formula: what goes into the attention, and the attention."""


@dataclass(frozen=True)
class Case:
    """What one model gave on one backend.

    Attributes:
        model: its name.
        backend: the backend.
        found: layers in the model, at any depth.
        captured: of these, recorded.
        compared: recorded layers that the reference has too.
        equal: of these, equal to rounding.
        worst: the largest difference relative to a layer's largest value, and the layer.
        seconds: what the recording took, compiling included.
        left: layers that cannot be recorded, by reason.
        error: what went wrong, or empty.
    """

    model: str
    backend: str
    found: int = 0
    captured: int = 0
    compared: int = 0
    equal: int = 0
    worst: tuple[float, str] = (0.0, "")
    seconds: float = 0.0
    left: dict[str, list[str]] | None = None
    error: str = ""


def application(name: str, size: int) -> tuple[Any, Any]:
    """A model of `keras.applications` with random weights, and images."""
    import keras

    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
    images = np.random.default_rng(0).uniform(0, 255, (SAMPLES, size, size, 3))
    return model, images.astype(np.float32)


def tokens(length: int = 12) -> dict[str, Any]:
    """Token ids and a mask in which the last sample is shorter."""
    mask = np.ones((SAMPLES, length), np.int32)
    mask[-1, length // 2 :] = 0
    ids = np.random.default_rng(0).integers(1, 100, (SAMPLES, length)).astype(np.int32)
    return {"token_ids": ids, "padding_mask": mask}


def bert() -> tuple[Any, Any]:
    """A small BERT."""
    import keras_hub

    model = keras_hub.models.BertBackbone(**WORDS, intermediate_dim=32, max_sequence_length=12)
    return model, {**tokens(), "segment_ids": np.zeros((SAMPLES, 12), np.int32)}


def gpt2() -> tuple[Any, Any]:
    """A small GPT-2."""
    import keras_hub

    model = keras_hub.models.GPT2Backbone(**WORDS, intermediate_dim=32, max_sequence_length=12)
    return model, tokens()


def bart() -> tuple[Any, Any]:
    """A small BART: an encoder and a decoder."""
    import keras_hub

    model = keras_hub.models.BartBackbone(**WORDS, intermediate_dim=32, max_sequence_length=12)
    sides = {"encoder": tokens(12), "decoder": tokens(8)}
    named = {f"{side}_{name}": a for side, part in sides.items() for name, a in part.items()}
    return model, named


def vision_transformer() -> tuple[Any, Any]:
    """A small vision transformer."""
    import keras_hub

    model = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    return model, np.random.default_rng(0).random((SAMPLES, 32, 32, 3), np.float32)


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    **{name: partial(application, name, size) for name, size in IMAGES.items()},
    "BERT": bert,
    "GPT-2": gpt2,
    "BART": bart,
    "ViT": vision_transformer,
}


def reference(model: Any, data: Any) -> dict[str, list[Any]]:
    """What every layer and operation of a functional model gives, by a model made to them all."""
    import keras

    made = {
        operation.name: keras.tree.flatten(operation.output)
        for operation in model.operations
        if len(operation._inbound_nodes) == 1 and not isinstance(operation, keras.layers.InputLayer)
    }
    flat = [tensor for tensors in made.values() for tensor in tensors]
    values = iter(keras.Model(model.inputs, flat).predict(data, verbose=0))
    return {name: [next(values) for _ in tensors] for name, tensors in made.items()}


def projections(name: str, model: Any, recording: Any) -> Iterator[tuple[str, Any]]:
    """The queries, keys and values of a transformer block, by their formula."""
    if name not in PROJECTIONS:
        return
    source, attention = PROJECTIONS[name]
    layer = model
    for step in attention.split("/"):
        inner = layer._flatten_layers(include_self=False, recursive=False)
        layer = next(part for part in inner if part.name == step)
    for part in ("query", "key", "value"):
        dense = getattr(layer, f"_{part}_dense")
        kernel, bias = (np.array(weight) for weight in dense.get_weights())
        yield (
            f"{attention}/{part}",
            np.einsum("ntc,chd->nthd", recording[source][:], kernel) + bias,
        )


def run(name: str) -> Case:
    """One model on the backend of this process."""
    import keras

    import actscope
    from actscope.extraction import feed_for
    from actscope.registry import adapter_for

    keras.utils.set_random_seed(0)
    try:
        model, data = MODELS[name]()
    except Exception as error:
        return Case(name, keras.config.backend(), error=f"not built by Keras: {error}")
    adapter = adapter_for(model)
    trace = adapter.trace(model, feed_for(adapter, model, data).example)
    layers = [layer for layer in trace.layers if not layer.is_boundary]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        path = Path(folder) / "run.h5"
        recording = actscope.extract(model, data, path, layers="all", batch_size=2)
        seconds = time.perf_counter() - start
        differences = dict(_differences(name, model, data, recording))
    left: dict[str, list[str]] = {}
    for layer in layers:
        if not layer.outputs:
            left.setdefault(layer.note, []).append(layer.path)
    worst = max(differences, key=lambda path: differences[path])
    return Case(
        name,
        keras.config.backend(),
        found=len(layers),
        captured=len(recording),
        compared=len(differences),
        equal=sum(difference <= TOLERANCE for difference in differences.values()),
        worst=(differences[worst], worst),
        seconds=seconds,
        left=left,
    )


def _differences(name: str, model: Any, data: Any, recording: Any) -> Iterator[tuple[str, float]]:
    for path, expected in reference(model, data).items():
        outputs = recording[path].outputs if path in recording else ()
        pairs = zip(outputs, expected, strict=True)
        yield path, max((_difference(o[:], e) for o, e in pairs), default=float("inf"))
    for path, array in projections(name, model, recording):
        yield path, _difference(recording[path][:], array)


def _difference(actual: Any, expected: Any) -> float:
    scale = float(np.abs(expected).max()) or 1.0
    return float(np.abs(actual.astype(np.float64) - expected).max()) / scale


def run_apart(name: str, backend: str) -> Case:
    """One case in a process of its own."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.architectures", "--case", name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Case(name, backend, error=f"failed: {reason}")
    return Case(**json.loads(lines[-1]))


_PREFACE = f"""# Which architectures can be recorded

Made by `python -m benchmarks.architectures --markdown docs/architectures.md`: small models with
random weights, `layers="all"`, {SAMPLES} samples in batches of 2, on two CPU cores, with keras
{{keras}}, jax {{jax}}, tensorflow 2.21 and torch {{torch}}.

Each cell: layers recorded of those found, at any depth; of those that the reference has too, how
many are equal to it (within {TOLERANCE:g} of the layer's largest value); the seconds that the
recording took, compiling included. The reference is a `keras.Model` made to every layer and
operation of the functional graph; within transformer blocks the queries, keys and values are
computed by their formula in NumPy.
"""


def markdown(cases: list[Case], backends: list[str]) -> str:
    """The page for the documentation."""
    lines = [
        _PREFACE.format(**{name: version(name) for name in ("keras", "jax", "torch")}),
        f"| model | {' | '.join(backends)} |",
        "|---|" + "---|" * len(backends),
    ]
    for name in dict.fromkeys(case.model for case in cases):
        cells = [_cell(cases, name, backend) for backend in backends]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_left_out(cases), ""])


def _cell(cases: list[Case], name: str, backend: str) -> str:
    case = next((c for c in cases if (c.model, c.backend) == (name, backend)), None)
    if case is None:
        return "not run"
    if case.error:
        return case.error
    recorded = f"{case.captured} of {case.found}"
    return f"{recorded}; {case.equal} of {case.compared} equal; {case.seconds:.1f} s"


def _left_out(cases: list[Case]) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        for reason, paths in (case.left or {}).items():
            shown = ", ".join(f"`{path}`" for path in paths[:3])
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            reasons.setdefault((case.model, f"{shown}{more}: {reason}"), []).append(case.backend)
    if not reasons:
        return ["Nothing is left out."]
    lines = ["What cannot be recorded:", ""]
    lines += [
        f"- {model} ({', '.join(backends)}): {text}" for (model, text), backends in reasons.items()
    ]
    return lines


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", default=list(MODELS))
    parser.add_argument("--backends", nargs="*", default=list(BACKENDS))
    parser.add_argument("--results", type=Path, default=Path("architectures.json"))
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(asdict(run(arguments.case))))
        return
    path: Path = arguments.results
    cases = [Case(**case) for case in json.loads(path.read_text())] if path.exists() else []
    for name in arguments.only:
        for backend in arguments.backends:
            if not any((case.model, case.backend) == (name, backend) for case in cases):
                cases.append(run_apart(name, backend))
                print(f"{name:20} {backend:10} {_cell(cases, name, backend)}", flush=True)
                path.write_text(json.dumps([asdict(case) for case in cases], indent=1))
    if arguments.markdown:
        arguments.markdown.write_text(markdown(cases, arguments.backends))


if __name__ == "__main__":
    main()
