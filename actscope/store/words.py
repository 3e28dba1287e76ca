"""What a recording says in words, of its origin and of each tensor, each word of the right kind.

A module of its own since it is about meaning alone: where rows are, and how they are stored, is
found elsewhere.
"""

import json
from collections.abc import Mapping
from typing import Any

from actscope.dtypes import STORABLE
from actscope.store import guarded, schema
from actscope.store.hdf5.content import Content
from actscope.store.hdf5.objects import Dataset, Group

_KINDS: Mapping[str, Any] = {
    schema.PATH: "",
    schema.CLASS_NAME: "",
    schema.ENCODING_TYPE: "",
    schema.DTYPE: "",
    schema.AXES: (),
    schema.KEY: "",
    schema.ORDER: 0,
    schema.CALL: 0,
    schema.INDEX: 0,
    schema.DATA_FORMAT: "",
    schema.REDUCTION: "none",
    schema.UNREDUCED_SHAPE: (),
}
"""The words for a tensor, and what each is where it is missing."""

_ENTRIES: Mapping[str, type] = {
    **dict.fromkeys(("actscope", "created", "framework", "backend", "device", "dtype-policy"), str),
    **dict.fromkeys(("software", "model", "data"), dict),
    "batch-size": int,
}
"""The kinds of those entries of the provenance that are read again, each where it is there."""

MOST_VALUES = 1_000_000
"""Of the provenance: each takes some hundred bytes in memory."""

_TENSORS = (schema.ACTIVATION, schema.GRADIENT, schema.INPUT)


def words_of_layer(group: Group, dataset: Dataset) -> dict[str, Any]:
    """What the attributes of a layer's group and of one of its datasets say, as in a summary.

    Raises:
        FormatError: one is missing, or of another kind.
    """
    layer_path = guarded.text(group, schema.PATH, schema.MAXIMUM_PATH)
    class_name = guarded.text(group, schema.CLASS_NAME, schema.MAXIMUM_PATH)
    words = words_of(dataset, layer_path, class_name)
    for name in (schema.ORDER, schema.CALL, schema.INDEX):
        words[name] = guarded.number(dataset, name)
    for name in (schema.DATA_FORMAT, schema.REDUCTION):
        words[name] = guarded.text(dataset, name)
    if dataset.attribute(schema.UNREDUCED_SHAPE) is not None:  # from version 1.1.0 on
        words[schema.UNREDUCED_SHAPE] = guarded.numbers(dataset, schema.UNREDUCED_SHAPE)
    return words


def words_of(dataset: Dataset, layer: str = "", class_name: str = "") -> dict[str, Any]:
    """What the attributes say that layers and inputs have in common.

    Raises:
        FormatError: one is missing, or of another kind.
    """
    return {
        schema.PATH: layer,
        schema.CLASS_NAME: class_name,
        schema.ENCODING_TYPE: guarded.text(dataset, schema.ENCODING_TYPE),
        schema.DTYPE: guarded.text(dataset, schema.DTYPE),
        schema.AXES: guarded.texts(dataset, schema.AXES),
        schema.KEY: guarded.text(dataset, schema.KEY),
    }


def checked(words: Mapping[str, Any], content: Content, where: str) -> dict[str, Any]:
    """The words for a tensor, each of the kind that it must be.

    Raises:
        FormatError: one is not, or the tensor is of a kind or dtype that no version has.
    """
    found = {}
    for name, default in _KINDS.items():
        value = words.get(name, default)
        if isinstance(default, tuple):
            value = _several(value, str if name == schema.AXES else int)
        elif type(value) is not type(default) or len(str(value)) > schema.MAXIMUM_PATH:
            value = None
        if value is None:
            said = str(words.get(name))[:80]
            raise content.damaged(f"{where}: its {name!r} is {said!r}, which it cannot be")
        found[name] = value
    if found[schema.ENCODING_TYPE] not in _TENSORS:
        raise content.damaged(f"{where} is of the unknown kind {found[schema.ENCODING_TYPE]!r}")
    if found[schema.DTYPE] not in STORABLE:
        raise content.damaged(
            f"{where} has dtype {found[schema.DTYPE]!r}, which format {schema.VERSION} lacks"
        )
    return found


def _several(value: Any, kind: type) -> tuple[Any, ...] | None:
    """A list of a few texts or numbers; None where it is something else."""
    if not isinstance(value, list | tuple) or len(value) > schema.MAXIMUM_AXES:
        return None
    are_right = all(type(part) is kind and len(str(part)) <= schema.MAXIMUM_PATH for part in value)
    return tuple(value) if are_right else None


def checked_origin(text: str, content: Content) -> dict[str, Any]:
    """The provenance, parsed.

    Raises:
        FormatError: it is not a JSON object, or has more values than that of a model has, or one
            that is of another kind than it must be.
    """
    where = f"the attribute {schema.PROVENANCE!r}"
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise content.damaged(f"{where} has more than {MOST_VALUES:,} values")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise content.damaged(f"{where} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise content.damaged(f"{where} is not a JSON object")
    for name, kind in _ENTRIES.items():
        if found.get(name) is not None and type(found[name]) is not kind:
            raise content.damaged(f"{where}: its {name!r} is {str(found[name])[:80]!r}")
    return found
