"""Writes the small recording of the current format version that the tests keep for ever.

    python tests/make_recording.py

Run once for a new version of the format; the files of old versions are never written again.
"""

from pathlib import Path

import numpy as np

from actscope.store import schema
from actscope.store.chunking import stored_as
from actscope.store.writers import open_writer
from recordings import output_info

SAMPLES = 3


def arrays() -> dict[str, np.ndarray]:
    """What is recorded, by layer path and output."""
    values = np.arange(SAMPLES * 6 * 6 * 4, dtype=np.float32)
    return {
        "conv2d": np.sin(values.reshape(SAMPLES, 6, 6, 4)),
        "conv2d gradient": np.cos(values.reshape(SAMPLES, 6, 6, 4)),
        "block/shared": np.arange(SAMPLES * 5, dtype=np.float32).reshape(SAMPLES, 5),
        "block/shared:1": np.arange(SAMPLES * 5, dtype=np.float32).reshape(SAMPLES, 5) * 2,
        "low": (np.arange(SAMPLES * 4, dtype=np.uint32).reshape(SAMPLES, 4) + 16256).astype("<u2"),
        "mask": (np.arange(SAMPLES * 2).reshape(SAMPLES, 2) % 2).astype(np.uint8),
    }


def image() -> np.ndarray:
    """The stored input, shape `(3, 8, 8, 1)`."""
    return np.linspace(0, 1, SAMPLES * 64, dtype=np.float32).reshape(SAMPLES, 8, 8, 1)


def plan() -> schema.RecordingPlan:
    """The recording's plan."""
    outputs = [
        output_info("conv2d", (6, 6, 4), 0),
        output_info("conv2d", (6, 6, 4), 0, is_gradient=True),
        output_info("block/shared", (5,), 1),
        output_info("block/shared", (5,), 2, call=1),
        output_info("low", (4,), 3, "bfloat16"),
        output_info("mask", (2,), 4, "bool"),
    ]
    tensors, groups = schema.plan_layers(outputs)
    inputs = schema.plan_inputs(["image"], [(8, 8, 1)], ["float32"])
    described = schema.RecordingPlan(
        SAMPLES,
        (*inputs, *tensors),
        groups,
        '{"actscope": "0.1.0", "backend": "none"}',
        ("first", "zweites ü", "third"),
        np.array([7, 1, 4], np.int64),
        keeps_statistics=True,
    )
    return stored_as(described, "gzip", "sample")


if __name__ == "__main__":
    path = Path(__file__).parent / "data" / f"recording-{schema.VERSION}.h5"
    with open_writer(path, plan()) as writer:
        writer.append([image(), *arrays().values()])
        writer.complete()
    print(path, path.stat().st_size, "bytes")
