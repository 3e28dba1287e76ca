"""Gathers what a page of a recording says, as plain data: strings, numbers, lists and mappings.

Numbers are already words, pictures already addresses, and nothing is HTML.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np

from actscope import listing
from actscope.axes import shape_text
from actscope.render.pictures import looks_like_image
from actscope.render.scale import Scale
from actscope.render.subject import as_numbers
from actscope.reporting import pictures
from actscope.reporting.names import sample_name
from actscope.reporting.tensors import Data, tensor_data
from actscope.reporting.tree import tree_rows
from actscope.store.reader import RecordedLayer, RecordedTensor, Recording

MOST_THUMBNAILS = 256
"""How many different inputs are on the page beside those of the samples shown."""

_ALL_PIXELS = 24_000_000
_PIXELS_PER_PICTURE = (4096, 65536)


def tensors_by_path(recording: Recording) -> dict[str, list[RecordedLayer]]:
    """For each layer path its outputs, each followed by its gradient where there is one."""
    return {
        path: [
            tensor
            for output in recording.outputs(path)
            for tensor in (output, output.gradient)
            if tensor is not None
        ]
        for path in recording
    }


def content_of(
    recording: Recording, positions: Sequence[int], advance: Callable[[int], None]
) -> Data:
    """All that the page says.

    Args:
        recording: what it is about.
        positions: of the samples that are shown.
        advance: called with 1 after each tensor.
    """
    found = tensors_by_path(recording)
    count = sum(map(len, found.values()))
    most = int(np.clip(_ALL_PIXELS // max(1, count * len(positions)), *_PIXELS_PER_PICTURE))
    layers = []
    for path, tensors in found.items():
        described = []
        for tensor in tensors:
            described.append(tensor_data(tensor, positions, most))
            advance(1)
        layers.append({"path": path, "class": tensors[0].class_name, "tensors": described})
    thumbnails = _thumbnails(recording, positions, layers)
    return {
        "file": recording.path.name,
        "summary": listing.recording_summary(recording).removeprefix(f"{recording.path}: "),
        "provenance": _provenance(recording),
        "notes": _notes(recording, thumbnails, layers),
        "samples": [
            {"position": position, "name": sample_name(recording, position)}
            for position in positions
        ],
        "thumbnails": thumbnails,
        "colours": {kind: pictures.stops(Scale(kind, 0, 1)) for kind in ("shared", "symmetric")},
        "tree": [asdict(row) for row in tree_rows(list(found))],
        "layers": layers,
    }


def _provenance(recording: Recording) -> list[list[str]]:
    origin = recording.provenance
    model = origin.get("model")
    model = model if isinstance(model, dict) else {}
    known = {
        "file": str(recording.path.name),
        "model": model.get("name"),
        "weights, SHA-256": model.get("weights-sha256"),
        "framework": origin.get("framework"),
        "backend": origin.get("backend"),
        "device": origin.get("device"),
        "dtype policy": origin.get("dtype-policy"),
        "created": origin.get("created"),
        "written by actscope": origin.get("actscope"),
        "samples": f"{recording.extent} committed",
        "inputs": ", ".join(
            f"{tensor.name} {shape_text(tensor.shape[1:], str(len(tensor)))} {tensor.logical_dtype}"
            for tensor in recording.inputs
        ),
    }
    return [[name, str(value)] for name, value in known.items() if value]


def _notes(recording: Recording, thumbnails: Data, layers: Sequence[Data]) -> list[str]:
    """What a reader must know that nothing else on the page says."""
    notes = []
    if not recording.complete:
        notes.append(f"This recording is incomplete; samples: {recording.extent}.")
    if not _image_input(recording):
        notes.append("No input that is an image was stored, so samples are shown by name only.")
    elif set(map(str, _top_positions(layers))) - set(thumbnails):
        notes.append(f"Only {MOST_THUMBNAILS} inputs are shown; other samples are named only.")
    return notes


def _image_input(recording: Recording) -> RecordedTensor | None:
    inputs = recording.inputs
    return next((tensor for tensor in inputs if looks_like_image(tensor.shape[1:])), None)


def _top_positions(layers: Sequence[Data]) -> list[int]:
    """The samples named as the top ones of some channel, the first ones of all layers first."""
    ranked = [
        (rank, sample["position"])
        for layer in layers
        for tensor in layer["tensors"]
        for channel in tensor["top"]
        for rank, sample in enumerate(channel["samples"])
    ]
    return [position for _, position in sorted(ranked, key=lambda found: found[0])]


def _thumbnails(recording: Recording, positions: Sequence[int], layers: Sequence[Data]) -> Data:
    """Name and picture of the samples' inputs by position; empty where there are no images."""
    stored = _image_input(recording)
    if stored is None or 0 in stored.shape:
        return {}
    further = [position for position in _top_positions(layers) if position not in positions]
    chosen = [*positions, *list(dict.fromkeys(further))[:MOST_THUMBNAILS]]
    return {
        str(position): pictures.data_uri(
            pictures.input_png(as_numbers(stored[position], stored.name))
        )
        for position in chosen
    }
