"""Activations as JSON, as Keract writes them, with their dtypes beside."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actscope.errors import FormatError, MissingFileError

DTYPES = "__dtypes__"
"""The entry that says each array's dtype; a list of them for a layer with several outputs."""


def persist_to_json_file(activations: Mapping[Any, Any], filename: str | Path) -> None:
    """Write activations to a JSON file: nested lists by name, and their dtypes.

    Args:
        activations: arrays, or lists of arrays, by name or number.
        filename: the file, which is replaced where it exists.
    """
    content = {str(name): _listed(value) for name, value in activations.items()}
    dtypes = {str(name): _dtypes(value) for name, value in activations.items()}
    Path(filename).write_text(json.dumps({**content, DTYPES: dtypes}, indent=2))


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_listed(part) for part in value]
    return np.asarray(value).tolist()


def _dtypes(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_dtypes(part) for part in value]
    return str(np.asarray(value).dtype)


def load_activations_from_json_file(filename: str | Path) -> "OrderedDict[str, Any]":
    """Read activations from a JSON file that `persist_to_json_file` or Keract wrote.

    Arrays have the dtype that they had; those from Keract, which does not keep it, NumPy's own.

    Raises:
        MissingFileError: there is no such file.
        FormatError: it holds no activations.
    """
    path = Path(filename)
    if not path.exists():
        raise MissingFileError(f"{path} does not exist")
    try:
        content = json.loads(path.read_text())
        dtypes = content.pop(DTYPES, {})
        return OrderedDict(
            (name, _arrays(value, dtypes.get(name))) for name, value in content.items()
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"{path} holds no activations: {error}") from error


def _arrays(value: Any, dtype: Any) -> Any:
    if isinstance(dtype, list):
        return [_arrays(part, one) for part, one in zip(value, dtype, strict=True)]
    return np.array(value, dtype)
