"""actscope records what the layers of a neural network compute, and draws it later.

Only the public names stand here. Each is loaded when it is first used, so that
`import actscope` costs milliseconds and imports no framework and no plotting library.
"""

from typing import TYPE_CHECKING

from actscope.errors import ActscopeError
from actscope.lazy import load_on_use

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

__getattr__ = load_on_use(
    globals(),
    {
        "compare": "actscope.comparing.comparison",
        "Comparison": "actscope.comparing.result",
        "Estimate": "actscope.estimating",
        "estimate": "actscope.estimating",
        "extract": "actscope.extraction",
        "merge": "actscope.merging",
        "pack": "actscope.packing",
        "reduce": "actscope.reducing",
        "render": ("actscope.render", ""),
        "report": "actscope.reporting.report",
        "weight_gradients": "actscope.weights",
        "verify": "actscope.store.verification",
        "open": ("actscope.store.reader", "open_recording"),
        "Recording": "actscope.store.reader",
        "RecordedLayer": "actscope.store.reader",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
