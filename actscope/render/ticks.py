"""Places ticks at powers of ten on axes that are logarithmic on both sides of zero."""

from math import floor, log10

from matplotlib.axis import Axis

_MOST_TICKS = 4
_PLAIN_POWERS = 3


def powers_as_ticks(axis: Axis, low: float, high: float, nearest: float) -> None:
    """At most four ticks on either side of zero, at powers of ten, and one at zero.

    Args:
        axis: of the scale `"symlog"`.
        low: where the axis begins.
        high: where it ends.
        nearest: the value above zero from which on the axis is logarithmic.
    """
    ticks = [-tick for tick in reversed(powers_of_ten(nearest, -low))]
    ticks += [0.0] if low < 0 < high else []
    ticks += powers_of_ten(nearest, high)
    axis.set_ticks(ticks, [_text(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def powers_of_ten(low: float, high: float) -> list[float]:
    """At most four powers of ten from `low` to `high`, evenly spaced, the largest among them."""
    if high <= low:
        return []
    last, first = floor(log10(high)), -floor(-log10(low))
    step = max(1, -(-(last - first + 1) // _MOST_TICKS))
    return [10.0**power for power in range(last, first - 1, -step)][::-1]


def _text(tick: float) -> str:
    if tick == 0 or abs(log10(abs(tick))) <= _PLAIN_POWERS:
        return f"{tick:g}".replace("-", "\N{MINUS SIGN}")
    sign = "-" if tick < 0 else ""
    return f"$\\mathdefault{{{sign}10^{{{round(log10(abs(tick)))}}}}}$"
