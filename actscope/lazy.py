"""Loads the public names of a package when they are first used, so that importing it is cheap."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def load_on_use(
    namespace: dict[str, Any], places: Mapping[str, str | tuple[str, str]]
) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562) whose public names are in other modules.

    No such module may be called as one of the names, which importing it would then stand for.

    Args:
        namespace: the package's `globals()`, where what was loaded is kept.
        places: for each public name its module, and what it is called there where that differs;
            an empty name is the module itself.
    """

    def load(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {name!r}")
        place = places[name]
        module, attribute = (place, name) if isinstance(place, str) else place
        loaded = import_module(module)
        return namespace.setdefault(name, getattr(loaded, attribute) if attribute else loaded)

    return load
