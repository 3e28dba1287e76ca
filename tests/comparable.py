"""Pairs of small recordings for the tests of comparisons, made without any framework."""

import json

import numpy as np

from actscope.store import schema
from actscope.store.reader import open_recording
from actscope.store.writer import Writer
from recordings import output_info

SHAS = {"kind": "arrays", "shapes": [[4]], "sampled-sha256": "0"}


def record(path, arrays, *, ids=(), dtypes=None, planned=None, outputs=None, **provenance):
    """Write `arrays` by layer path, in that order of execution, and open the recording."""
    samples = len(next(iter(arrays.values())))
    dtypes = dtypes or {}
    outputs = outputs or [
        output_info(name, array.shape[1:], order, dtypes.get(name, str(array.dtype)))
        for order, (name, array) in enumerate(arrays.items())
    ]
    tensors, groups = schema.plan_layers(outputs)
    origin = {"data": SHAS, "selection": "all", "dtype-policy": "float32", **provenance}
    plan = schema.RecordingPlan(planned or samples, tensors, groups, json.dumps(origin), tuple(ids))
    with Writer(path, plan, overwrite=True) as writer:
        writer.append([np.ascontiguousarray(array) for array in arrays.values()])
        writer.commit()
    return open_recording(path)


def bfloat16_bits(values):
    """float32 values as the bits of bfloat16, rounded to nearest even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def network(seed=0, samples=40, depth=6, width=32, changed=None, amount=0.0, dtype=np.float32):
    """What the dense layers of a random network compute, layer by layer, rounded to `dtype`."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(samples, width)).astype(dtype)
    found = {}
    for layer in range(depth):
        weights = random.normal(size=(width, width)) / np.sqrt(width)
        if layer == changed:
            weights[3, 5] += amount
        values = np.tanh(values @ weights.astype(dtype)).astype(dtype)
        found[f"dense_{layer}"] = values
    return found
