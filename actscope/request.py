"""What is asked of a run, and how the file says it afterwards."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.errors import DataError
from actscope.objectives import Gradients
from actscope.planning import Reductions
from actscope.selection import Selection
from actscope.store.chunking import SAMPLE


@dataclass(frozen=True)
class Request:
    """What to record of a model, in the words of `actscope.extract`."""

    layers: Selection = None
    reduce: Reductions = None
    dtype: str | None = None
    gradients: Gradients = None
    y: Any = None
    batch_size: int | str | None = None
    ids: Sequence[str] | None = None
    labels: npt.ArrayLike | None = None
    store_inputs: bool | None = None
    codec: str | None = None
    layout: str = SAMPLE
    statistics: bool = False
    store: bool = True

    def described(self) -> dict[str, Any]:
        """What was asked for as plain data; functions by name, arrays by a hash of their bytes."""
        return {
            "selection": _plain(self.layers),
            "reductions": _plain(self.reduce),
            "dtype": self.dtype,
            "gradients": _plain(self.gradients),
            "targets": _plain(self.y),
            "codec": self.codec,
            "layout": self.layout,
            "statistics": self.statistics,
            "store": self.store,
        }


def requested(*, statistics: bool | None = None, store: bool = True, **words: Any) -> Request:
    """A request in the words of `actscope.extract`, with what follows from them.

    Raises:
        DataError: they contradict each other.
    """
    if not store and (statistics is False or words.get("gradients") is not None):
        raise DataError(
            "store=False keeps the statistics of activations alone: leave out statistics=False and "
            "gradients="
        )
    kept = not store if statistics is None else statistics
    return Request(statistics=kept, store=store, **words)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple) and all(isinstance(v, str) or callable(v) for v in value):
        return [_plain(part) for part in value]
    array = np.ascontiguousarray(value)
    digest = hashlib.sha256(array.reshape(-1).view(np.uint8)).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}
