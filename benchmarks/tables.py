"""What a benchmark found, as plain data, and how it is shown: in Markdown, and as JSON.

Seconds and bytes are kept per round, so that ratios are taken within a round: machines drift.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

Values = Mapping[str, Sequence[float]]
"""One list of values per column, a value per round."""

Bound = float | Mapping[str, float] | None
"""A goal: one for all columns, by column, or none."""


@dataclass(frozen=True)
class Series:
    """One thing that was measured, in each column.

    Attributes:
        label: what it is.
        values: per column, one value per round.
        unit: of the values, such as `"s"`.
        at_most: the goal, in the same unit, where it is none that is relative to something else.
    """

    label: str
    values: Values
    unit: str = "s"
    at_most: Bound = None


@dataclass(frozen=True)
class Ratio:
    """One thing that was measured in relation to others, round by round.

    Attributes:
        label: what it is.
        of: labels of the series whose sum stands above.
        to: labels of those whose sum stands below.
        at_most: the goal, where it is an upper bound.
        at_least: the goal, where it is a lower bound.
    """

    label: str
    of: tuple[str, ...]
    to: tuple[str, ...]
    at_most: Bound = None
    at_least: Bound = None


@dataclass(frozen=True)
class Table:
    """What one benchmark found.

    Attributes:
        name: of the benchmark, by which its section in the results is found.
        title: what was measured, in a few words.
        series: what was measured.
        ratios: what follows from it.
        note: what a reader must know.
    """

    name: str
    title: str
    series: tuple[Series, ...]
    ratios: tuple[Ratio, ...] = ()
    note: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, in the order in which they were measured."""
        return tuple(dict.fromkeys(column for one in self.series for column in one.values))


def ratio_values(table: Table, ratio: Ratio, column: str) -> list[float]:
    """A ratio in a column, one value per round; none where a part of it was not measured there."""
    by_label = {one.label: one.values.get(column, ()) for one in table.series}
    above = zip(*(by_label[label] for label in ratio.of), strict=False)
    below = zip(*(by_label[label] for label in ratio.to), strict=False)
    return [sum(a) / sum(b) for a, b in zip(above, below, strict=False)]


def cell(values: Sequence[float], unit: str = "") -> str:
    """The median, and from where to where the values go."""
    if not values:
        return ""
    middle = median(values)
    digits = 0 if abs(middle) >= 100 else 2 if abs(middle) >= 0.1 else 4
    suffix = f" {unit}" if unit else ""
    if len(values) == 1:
        return f"{middle:,.{digits}f}{suffix}"
    spread = f"{min(values):,.{digits}f}-{max(values):,.{digits}f}"
    return f"{middle:,.{digits}f}{suffix} ({spread})"


def markdown(table: Table) -> str:
    """The table as text that is read as it is, and drawn where Markdown is."""
    columns = table.columns
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for one in table.series:
        cells = [
            _with_goal(cell(one.values.get(column, ()), one.unit), column, one.at_most)
            for column in columns
        ]
        lines.append(f"| {one.label} | {' | '.join(cells)} |")
    for ratio in table.ratios:
        cells = [
            _with_goal(
                cell(ratio_values(table, ratio, column)), column, ratio.at_most, ratio.at_least
            )
            for column in columns
        ]
        lines.append(f"| **{ratio.label}** | {' | '.join(cells)} |")
    heading = f"### {table.title}\n\n" if table.title else ""
    note = f"\n\n{table.note}" if table.note else ""
    return heading + "\n".join(lines) + note


def _with_goal(found: str, column: str, at_most: Bound, at_least: Bound = None) -> str:
    for bound, words in ((at_most, "at most"), (at_least, "at least")):
        value = bound.get(column) if isinstance(bound, Mapping) else bound
        if found and value is not None:
            return f"{found}, to reach: {words} {value:g}"
    return found


def as_data(table: Table) -> dict[str, Any]:
    """The table as JSON has it, the ratios computed."""
    found = {
        ratio.label: {column: ratio_values(table, ratio, column) for column in table.columns}
        for ratio in table.ratios
    }
    return {**asdict(table), "ratio-values": found}
