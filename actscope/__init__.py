"""actscope records what the layers of a neural network compute, and draws it later.

Only the public names stand here. Each is loaded when it is first used, so that
`import actscope` costs milliseconds and imports no framework and no plotting library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from actscope.errors import ActscopeError

if TYPE_CHECKING:
    from actscope import render as render
    from actscope.comparing.comparison import compare as compare
    from actscope.comparing.result import Comparison as Comparison
    from actscope.estimating import Estimate as Estimate
    from actscope.estimating import estimate as estimate
    from actscope.extraction import extract as extract
    from actscope.merging import merge as merge
    from actscope.packing import pack as pack
    from actscope.reducing import reduce as reduce
    from actscope.reporting.report import report as report
    from actscope.store.reader import RecordedLayer as RecordedLayer
    from actscope.store.reader import Recording as Recording
    from actscope.store.reader import open_recording as open
    from actscope.store.verification import verify as verify
    from actscope.weights import weight_gradients as weight_gradients

__version__ = "0.1.0"

__all__ = [
    "ActscopeError",
    "Comparison",
    "Estimate",
    "RecordedLayer",
    "Recording",
    "compare",
    "estimate",
    "extract",
    "merge",
    "open",
    "pack",
    "reduce",
    "render",
    "report",
    "verify",
    "weight_gradients",
]

_LOADED_ON_USE = {
    "compare": ("actscope.comparing.comparison", "compare"),
    "Comparison": ("actscope.comparing.result", "Comparison"),
    "Estimate": ("actscope.estimating", "Estimate"),
    "estimate": ("actscope.estimating", "estimate"),
    "extract": ("actscope.extraction", "extract"),
    "merge": ("actscope.merging", "merge"),
    "pack": ("actscope.packing", "pack"),
    "reduce": ("actscope.reducing", "reduce"),
    "report": ("actscope.reporting.report", "report"),
    "weight_gradients": ("actscope.weights", "weight_gradients"),
    "verify": ("actscope.store.verification", "verify"),
    "open": ("actscope.store.reader", "open_recording"),
    "Recording": ("actscope.store.reader", "Recording"),
    "RecordedLayer": ("actscope.store.reader", "RecordedLayer"),
}


def __getattr__(name: str) -> Any:
    if name == "render":
        return import_module("actscope.render")
    if name not in _LOADED_ON_USE:
        raise AttributeError(f"module 'actscope' has no attribute {name!r}")
    module, attribute = _LOADED_ON_USE[name]
    return globals().setdefault(name, getattr(import_module(module), attribute))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
