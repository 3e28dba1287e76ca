"""A recording for the tests of reports: several kinds of layers, some of them ill, odd names."""

import json
import re

import numpy as np

from actscope.store import schema
from actscope.store.writer import Writer
from recordings import output_info

SCRIPT = "<script>alert(1)</script>"
BREAKOUT = "</script><img src=x onerror=alert(2)>"
SAMPLES = 6


def arrays():
    """What the layers computed, by layer path, `(SAMPLES, ...)`."""
    random = np.random.default_rng(0)
    conv = np.maximum(random.normal(size=(SAMPLES, 8, 8, 70)), 0).astype(np.float32)
    conv[..., 5] = 0
    conv[2, 3, 4, 0] = np.nan
    return {
        "backbone/stem/conv": conv,
        "backbone/stem/pool": conv[:, ::2, ::2, 8:14].copy(),
        "backbone/head/dense": random.normal(size=(SAMPLES, 5)).astype(np.float32),
        "tokens": random.normal(size=(SAMPLES, 9, 4)).astype(np.float16),
        SCRIPT: np.tanh(20 * random.normal(size=(SAMPLES, 200))).astype(np.float32),
        BREAKOUT: random.random((SAMPLES, 3), np.float32),
        "loss": random.random(SAMPLES, np.float32),
    }


def record(path, found=None, *, image=True, ids=None, **provenance):
    """Write a recording of `found` with an image as the input; returns the path."""
    found = arrays() if found is None else found
    samples = len(next(iter(found.values())))
    outputs = [
        output_info(name, rows.shape[1:], order, str(rows.dtype))
        for order, (name, rows) in enumerate(found.items())
    ]
    tensors, groups = schema.plan_layers(outputs)
    inputs = schema.plan_inputs(["image"], [(8, 8, 1)], ["float32"]) if image else ()
    rows = [np.random.default_rng(1).random((samples, 8, 8, 1), np.float32)] if image else []
    ids = tuple(f"photo <i>{number}</i>" for number in range(samples)) if ids is None else ids
    origin = json.dumps({"model": {"name": "<b>net</b>"}, "backend": "none", **provenance})
    labels = np.arange(samples) % 10
    plan = schema.RecordingPlan(samples, (*inputs, *tensors), groups, origin, ids, labels)
    with Writer(path, plan) as writer:
        writer.append([*rows, *found.values()])
        writer.commit()
    return path


def content(page):
    """What a page says, as plain data."""
    (text,) = re.findall(
        r'<script type="application/json" id="content">(.*?)</script>', page.read_text(), re.DOTALL
    )
    return json.loads(text)
