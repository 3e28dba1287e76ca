"""Finds the adapter for a model among the installed ones, on demand.

Adapters announce themselves by the entry-point group `actscope.adapters`; a broken one is
reported and does not hide the others.
"""

import warnings
from functools import cache
from importlib.metadata import entry_points

from actscope.errors import BackendError, ModelError
from actscope.protocol import Adapter

GROUP = "actscope.adapters"


@cache
def adapters() -> dict[str, Adapter]:
    """Every installed adapter that loads, by its entry point's name."""
    found: dict[str, Adapter] = {}
    for entry_point in entry_points(group=GROUP):
        try:
            found[entry_point.name] = entry_point.load()()
        except Exception as error:
            warnings.warn(
                f"the adapter {entry_point.name!r} ({entry_point.value}) does not load: {error}",
                stacklevel=2,
            )
    return found


def adapter_for(model: object) -> Adapter:
    """The adapter that accepts `model`.

    Raises:
        ModelError: no installed adapter knows such a model.
    """
    for adapter in adapters().values():
        if adapter.accepts(model):
            return adapter
    raise ModelError(
        f"cannot record a {type(model).__module__}.{type(model).__qualname__}: "
        f"no installed adapter knows it (installed: {', '.join(adapters()) or 'none'}); "
        "pass a built Keras model, or install an adapter for its framework"
    )


def adapter_named(name: str) -> Adapter:
    """The adapter installed as `name`.

    Raises:
        BackendError: there is none.
    """
    if name not in adapters():
        raise BackendError(
            f"the adapter {name!r} is not installed (installed: {', '.join(adapters()) or 'none'})"
        )
    return adapters()[name]
