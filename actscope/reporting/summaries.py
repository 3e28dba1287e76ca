"""Statistics of a tensor as words and plain data for the page."""

from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.histogram import EDGES, ZERO_BIN
from actscope.render.summary import summed_up
from actscope.reporting.names import sample_name
from actscope.statistics import Statistics
from actscope.store.reader import Recording

MOST_TOP_CHANNELS = 8
"""For so many channels of a tensor, the strongest, the samples of the largest values are named."""

MOST_TOP_SAMPLES = 5

_MOST_BARS = 64


def summary_rows(statistics: Statistics) -> list[list[str]]:
    """Of all finite values of all channels together, name by name."""
    count = int(statistics.count.sum())
    whole = summed_up(statistics)
    if not count:
        return [["values", "0"], ["NaN or infinite", f"{whole.not_finite:,}"]]
    bounded = not np.isnan(whole.saturation)
    return [
        ["mean", number_text(whole.mean)],
        ["standard deviation", number_text(whole.spread)],
        ["least", number_text(whole.minimum)],
        ["greatest", number_text(whole.maximum)],
        ["zeros", f"{whole.zeros:.1%}"],
        *([["saturation", f"{whole.saturation:.1%}"]] if bounded else []),
        ["NaN or infinite", f"{whole.not_finite:,}"],
        ["values", f"{count:,}"],
    ]


def histogram_data(statistics: Statistics) -> dict[str, Any] | None:
    """How the values are spread: bars of different width, whose areas are the numbers of values.

    The bins of the statistics, narrower the nearer to zero, are joined until each is a 64th of the
    range wide. The bin of zeros is left out: it would be infinitely high.

    Returns:
        `edges` as words, one more than bars; `places` of the edges from 0 to 1; `counts`;
        `heights` from 0 to 1; `zero`, the place of zero or None. None where there are no two
        different values, or where they are further apart than a float64 can say.
    """
    counts = statistics.histogram.copy()
    counts[ZERO_BIN] = 0
    low = float(np.nanmin(statistics.minimum, initial=np.inf))
    high = float(np.nanmax(statistics.maximum, initial=-np.inf))
    if not (counts.any() and 0 < high - low < np.inf):
        return None
    edges = np.clip(EDGES, low, high)
    edges[ZERO_BIN : ZERO_BIN + 2] = np.clip(0, low, high)
    kept = _joined(edges, (high - low) / _MOST_BARS)
    sums = np.diff(np.concatenate([[0], np.cumsum(counts)])[kept])
    heights = sums / np.diff(edges[kept])
    places = (edges[kept] - low) / (high - low)
    return {
        "edges": [number_text(edge) for edge in edges[kept]],
        "places": places.round(5).tolist(),
        "counts": sums.tolist(),
        "heights": (heights / heights.max()).round(4).tolist(),
        "zero": -low / (high - low) if low <= 0 <= high else None,
    }


def _joined(edges: npt.NDArray[np.float64], narrowest: float) -> npt.NDArray[np.intp]:
    """Which edges to keep, from zero to both sides, so that bins are at least so wide."""
    below = _spaced(edges, range(ZERO_BIN, -1, -1), narrowest)
    above = _spaced(edges, range(ZERO_BIN + 1, len(edges)), narrowest)
    kept = np.array([*reversed(below), *above])
    return np.asarray(kept[np.diff(edges[kept], append=np.inf) > 0])


def _spaced(edges: npt.NDArray[np.float64], order: range, narrowest: float) -> list[int]:
    """The first and the last of the edges, and between them those that are so far apart."""
    kept = [order[0]]
    for number in order:
        before, behind = np.abs(edges[number] - edges[[kept[-1], order[-1]]])
        if min(before, behind) >= narrowest:
            kept.append(number)
    return [*kept, order[-1]]


def number_text(value: float) -> str:
    """Four digits, as `"0.001234"` or `"1.234e+06"`."""
    return f"{value:.4g}"


def top_data(
    recording: Recording, statistics: Statistics, strength: npt.NDArray[np.float64], noun: str
) -> list[dict[str, Any]]:
    """For the strongest channels the samples of the largest values."""
    if statistics.samples < 2 or len(strength) != len(statistics.count):
        return []
    order = np.argsort(-np.nan_to_num(strength, nan=-1.0), kind="stable")
    alive = [channel for channel in order[:MOST_TOP_CHANNELS] if strength[channel] > 0]
    return [
        {
            "channel": f"{noun} {channel}",
            "samples": [
                {
                    "position": int(position),
                    "name": sample_name(recording, int(position)),
                    "value": number_text(value),
                }
                for position, value in zip(
                    statistics.top_samples[:MOST_TOP_SAMPLES, channel],
                    statistics.top_values[:MOST_TOP_SAMPLES, channel],
                    strict=True,
                )
                if position >= 0
            ],
        }
        for channel in alive
    ]
