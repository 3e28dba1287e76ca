"""Compares an unfinished recording with the one that a call would make. Pure.

Only what is the same in every respect that reaches the values is gone on with: the finished file
must be what an uninterrupted run gives.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actscope.protocol import Array
from actscope.store import schema
from actscope.store.schema import RecordingPlan, TensorPlan
from actscope.store.stored_tensors import StoredTensor
from actscope.store.structure import Structure

LONGEST_VALUE = 60

_WITHOUT_EFFECT = frozenset(
    ["created", "actscope", "platform", "software.python", "software.numpy", "software.h5py"]
)
"""Entries of the provenance that may differ: the values do not depend on them."""

_OF_THE_SAMPLES = frozenset(
    ["data", "batch-size", "codec", "layout", "packed-from", "merged-from", "targets"]
)
"""Entries that may differ between recordings of different samples, however these are stored."""

_COMPARED = {
    schema.ORDER: "order",
    schema.CALL: "call",
    schema.INDEX: "index",
    schema.KEY: "key",
    schema.DATA_FORMAT: "data_format",
    schema.REDUCTION: "reduction",
    schema.UNREDUCED_SHAPE: "unreduced_shape",
}


@dataclass(frozen=True)
class _Difference:
    """What is not the same on two sides; where one side lacks it, that side's is `_ABSENT`."""

    name: str
    found: Any
    wanted: Any

    def said(self, one: str, other: str) -> str:
        """In a clause, with words for the two sides."""
        if self.found is _ABSENT:
            return f"{self.name}: not in {one}"
        if self.wanted is _ABSENT:
            return f"{self.name}: not in {other}"
        return f"{self.name}: {_shown(self.found)} in {one}, {_shown(self.wanted)} in {other}"


_ABSENT = object()


def differences(found: Structure, plan: RecordingPlan) -> list[str]:
    """What keeps a call with `plan` from going on with the recording `found`, each in a clause."""
    different = [
        *_compare(
            "samples",
            None if found.is_open_ended else found.samples,
            None if plan.is_open_ended else plan.samples,
        ),
        *_compare("format", found.version, schema.VERSION),
        *_compare_provenance(_entries(found.origin), _entries(json.loads(plan.provenance))),
        *_compare_tensors(found.tensors, plan),
    ]
    different = different or list(_compare_chunks(found.tensors, plan))
    return [
        *(difference.said("the file", "this call") for difference in different),
        *(["ids: not the same"] if found.ids != plan.ids else []),
        *(["labels: not the same"] if not _same_labels(found.labels, plan.labels) else []),
    ]


def recorded_differences(one: Structure, other: RecordingPlan) -> list[str]:
    """What keeps recordings of different samples from being joined, each in a clause."""
    first, second = (
        {
            name: value
            for name, value in _entries(origin).items()
            if name.partition(".")[0] not in _OF_THE_SAMPLES
        }
        for origin in (one.origin, json.loads(other.provenance))
    )
    different = [*_compare_provenance(first, second), *_compare_tensors(one.tensors, other)]
    return [difference.said("the first", "the other") for difference in different]


def _compare(name: str, found: Any, wanted: Any) -> Iterator[_Difference]:
    if found != wanted:
        yield _Difference(name, found, wanted)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _entries(origin: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a provenance, those of objects inside it as `object.entry`."""
    entries: dict[str, Any] = {}
    for name, value in origin.items():
        if isinstance(value, dict):
            entries.update((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            entries[name] = value
    return entries


def _compare_provenance(
    found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[_Difference]:
    for name in dict.fromkeys([*wanted, *found]):
        if name not in _WITHOUT_EFFECT:
            yield from _compare(name, found.get(name), wanted.get(name))


def _compare_tensors(found: Sequence[StoredTensor], plan: RecordingPlan) -> Iterator[_Difference]:
    stored = {tensor.dataset: tensor for tensor in found}
    planned = {f"/{tensor.dataset}": tensor for tensor in plan.tensors}
    for name in dict.fromkeys([*planned, *stored]):
        if name not in stored:
            yield _Difference(name, _ABSENT, None)
        elif name not in planned:
            yield _Difference(name, None, _ABSENT)
        else:
            layer = plan.groups.get(planned[name].group, {})
            yield from _compare_tensor(name, stored[name], planned[name], layer)


def _compare_tensor(
    name: str, found: StoredTensor, wanted: TensorPlan, layer: Mapping[str, Any]
) -> Iterator[_Difference]:
    yield from _compare(f"{name} path", found.path, layer.get(schema.PATH, ""))
    yield from _compare(f"{name} class", found.class_name, layer.get(schema.CLASS_NAME, ""))
    yield from _compare(f"{name} shape", found.shape, tuple(wanted.shape))
    yield from _compare(f"{name} dtype", found.dtype, wanted.dtype)
    yield from _compare(f"{name} axes", found.axes[1:], wanted.axes)
    for attribute, value in wanted.attributes.items():
        if attribute in _COMPARED:
            yield from _compare(f"{name} {attribute}", getattr(found, _COMPARED[attribute]), value)


def _compare_chunks(found: Sequence[StoredTensor], plan: RecordingPlan) -> Iterator[_Difference]:
    """What is left to compare where all else is the same, and follows from that as a rule."""
    planned = {f"/{tensor.dataset}": tensor for tensor in plan.tensors}
    for tensor in found:
        wanted = planned[tensor.dataset].chunk
        yield from _compare(f"{tensor.dataset} chunks", tensor.chunk, wanted)


def _same_labels(found: Array | None, wanted: Array | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    if wanted.dtype.kind in "UO":
        wanted = np.array([str(label) for label in wanted])
    return bool(np.array_equal(found, wanted, equal_nan=found.dtype.kind == "f"))
