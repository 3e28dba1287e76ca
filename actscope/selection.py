"""Which layers to record: patterns over layer paths and classes, resolved against what a model has.

Pure: it knows layers only as descriptions.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache

from actscope.errors import SelectionError, UnknownLayerError, nearest
from actscope.protocol import LayerInfo

Pattern = str | Callable[[LayerInfo], bool]
Selection = Pattern | Sequence[Pattern] | None

ALL = "all"
TYPE = "type:"
NOT = "!"


@cache
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
        selection: a pattern or several: a glob over layer paths, `"all"` for every layer,
            `"type:Conv2D"` (a glob too) for the layers of a class, or a callable that is given
            each `LayerInfo` and says whether to take it. Patterns that begin with `!` take away
            from the others, or from the default where there are no others. None, the default,
            takes the layers one level below the model, as Keras's `model.summary()` lists them.
            The model's inputs and its own output are taken only by a glob, class or callable.

    Raises:
        UnknownLayerError: a pattern matches no layer.
        SelectionError: a pattern is malformed, or takes only layers that cannot be recorded.
    """
    patterns = _patterns(selection)
    excluding = [str(pattern)[1:] for pattern in patterns if _excludes(pattern)]
    including = [pattern for pattern in patterns if not _excludes(pattern)]
    if including:
        taken = {layer.path for pattern in including for layer in _recordable(layers, pattern)}
    else:
        taken = {layer.path for layer in _default(layers, selection)}
    for pattern in excluding:
        taken -= {layer.path for layer in _matching(layers, pattern)}
    if not taken:
        raise SelectionError("the selection takes no layer: name at least one, or 'all'")
    return [layer for layer in layers if layer.path in taken]


def _default(layers: Sequence[LayerInfo], selection: Selection) -> list[LayerInfo]:
    if selection is not None and not _patterns(selection):
        return []
    return [layer for layer in layers if layer.depth == 0 and _is_ordinary(layer)]


def _patterns(selection: Selection) -> list[Pattern]:
    if selection is None:
        return []
    if isinstance(selection, str) or callable(selection):
        return [selection]
    return list(selection)


def _excludes(pattern: Pattern) -> bool:
    return isinstance(pattern, str) and pattern.startswith(NOT)


def _is_ordinary(layer: LayerInfo) -> bool:
    return bool(layer.outputs) and not layer.is_boundary


def _recordable(layers: Sequence[LayerInfo], pattern: Pattern) -> list[LayerInfo]:
    matching = _matching(layers, pattern)
    recordable = [layer for layer in matching if layer.outputs]
    if not recordable:
        raise SelectionError(f"{matching[0].path!r} cannot be recorded: {matching[0].note}")
    return recordable


def _matching(layers: Sequence[LayerInfo], pattern: Pattern) -> list[LayerInfo]:
    if callable(pattern):
        matching = [layer for layer in layers if pattern(layer)]
        if not matching:
            raise SelectionError(f"layers={pattern!r} takes none of the {len(layers)} layers")
        return matching
    if not isinstance(pattern, str):
        raise SelectionError(f"layers={pattern!r} is a {type(pattern).__name__}, not a pattern")
    if pattern.startswith(TYPE):
        return _of_class(layers, pattern.removeprefix(TYPE))
    matching = [layer for layer in layers if matches(pattern, layer.path)]
    if not matching and pattern == ALL:
        return [layer for layer in layers if not layer.is_boundary]
    if not matching:
        known = [layer.path for layer in layers]
        raise UnknownLayerError(f"no layer matches {pattern!r}: {nearest(pattern, known)}")
    return matching


def _of_class(layers: Sequence[LayerInfo], class_name: str) -> list[LayerInfo]:
    matching = [layer for layer in layers if matches(class_name, layer.class_name)]
    if not matching:
        known = dict.fromkeys(layer.class_name for layer in layers)
        raise UnknownLayerError(f"no layer is a {class_name!r}: {nearest(class_name, known)}")
    return matching
