"""Which layers to record: glob patterns over layer paths, resolved against what a model has.

Pure: it knows layers only as descriptions.
"""

import re
from collections.abc import Sequence

from actscope.errors import SelectionError, UnknownLayerError, nearest
from actscope.protocol import LayerInfo

Selection = str | Sequence[str] | None


def glob_to_regex(pattern: str) -> re.Pattern[str]:
    """A glob over layer paths as a regular expression for `fullmatch`.

    `*` and `?` stay within one name, `[...]` is one character out of a set (`[!...]` out of the
    rest), and `**` stands for any number of names: `**/query` is every `query` at any depth.
    """
    parts = []
    for name in re.split(r"(\*\*/|/\*\*$|^\*\*$)", pattern):
        if name in ("**/", "/**", "**"):
            parts.append({"**/": "(?:[^/]+/)*", "/**": "(?:/[^/]+)+", "**": ".+"}[name])
        else:
            parts.append(_name_to_regex(name))
    return re.compile("".join(parts), re.DOTALL)


def _name_to_regex(name: str) -> str:
    translated = []
    for token in re.findall(r"\*+|\?|\[!?[^\]/]+\]|.", name, re.DOTALL):
        if token.startswith("*"):
            translated.append("[^/]*")
        elif token == "?":
            translated.append("[^/]")
        elif len(token) > 2 and token.startswith("["):
            negated = token[1] == "!"
            members = "".join(_set_member(c) for c in (token[2:-1] if negated else token[1:-1]))
            translated.append(f"[^/{members}]" if negated else f"[{members}]")
        else:
            translated.append(re.escape(token))
    return "".join(translated)


def _set_member(character: str) -> str:
    return character if character == "-" or character.isalnum() else re.escape(character)


def matches(pattern: str, path: str) -> bool:
    """Whether the layer path is named by the glob; a path always names itself."""
    if pattern == path:
        return True
    try:
        return glob_to_regex(pattern).fullmatch(path) is not None
    except re.error as error:
        raise SelectionError(
            f"layers={pattern!r} is not a pattern: {error}; a set is written like [abc] or [a-c]"
        ) from error


def select(layers: Sequence[LayerInfo], selection: Selection) -> list[LayerInfo]:
    """The layers that a selection takes, in the order of execution.

    Args:
        layers: what the model has.
        selection: a glob or several over layer paths; `"all"` for every layer; None for the
            layers one level below the model, as Keras's `model.summary()` lists them.

    Raises:
        UnknownLayerError: a pattern matches no layer.
        SelectionError: a pattern is malformed, or takes only layers that cannot be recorded.
    """
    if selection is None:
        chosen = [layer for layer in layers if layer.depth == 0 and layer.outputs]
    elif selection == "all":
        chosen = [layer for layer in layers if layer.outputs]
    else:
        chosen = _matching(layers, [selection] if isinstance(selection, str) else selection)
    if not chosen:
        raise SelectionError("the selection takes no layer: name at least one, or 'all'")
    return chosen


def _matching(layers: Sequence[LayerInfo], patterns: Sequence[str]) -> list[LayerInfo]:
    taken: set[str] = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise SelectionError(f"layers={pattern!r} is a {type(pattern).__name__}, not a pattern")
        matching = [layer for layer in layers if matches(pattern, layer.path)]
        if not matching:
            known = [layer.path for layer in layers]
            raise UnknownLayerError(f"no layer matches {pattern!r}: {nearest(pattern, known)}")
        recordable = [layer for layer in matching if layer.outputs]
        if not recordable:
            raise SelectionError(f"{matching[0].path!r} cannot be recorded: {matching[0].note}")
        taken.update(layer.path for layer in recordable)
    return [layer for layer in layers if layer.path in taken]
