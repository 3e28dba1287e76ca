"""Layer paths as a tree, written as indented rows. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One line of the tree.

    Attributes:
        label: the last part of the path.
        depth: how many folders it lies in.
        layer: the layer's position among the paths; None for a folder that is no layer.
    """

    label: str
    depth: int
    layer: int | None


@dataclass
class _Node:
    layer: int | None = None
    children: dict[str, "_Node"] = field(default_factory=dict)


def tree_rows(paths: Sequence[str]) -> list[Row]:
    """Rows from the top of the tree down, in the order in which its parts first occur in `paths`.

    Paths are split at "/". A layer that has layers below is one row that stands above them.
    """
    root = _Node()
    for number, path in enumerate(paths):
        node = root
        for part in path.split("/"):
            node = node.children.setdefault(part, _Node())
        node.layer = number
    rows: list[Row] = []
    waiting = [(label, 0, node) for label, node in reversed(root.children.items())]
    while waiting:  # not by recursion: a file may hold a path of any depth
        label, depth, node = waiting.pop()
        rows.append(Row(label, depth, node.layer))
        below = [(name, depth + 1, child) for name, child in reversed(node.children.items())]
        waiting += below
    return rows
