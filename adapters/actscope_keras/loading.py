"""Makes a model of what a user named: a `.keras` file, or a callable that returns one."""

import ast
import inspect
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from actscope.errors import MissingFileError, ModelError, first_line, nearest

CALLABLE = re.compile(
    r"(?P<module>[A-Za-z_][\w.]*):(?P<name>[A-Za-z_][\w.]*)(?P<arguments>\(.*\))?"
)


def load(source: str, *, structure_only: bool = False, trusted: bool = False) -> Any:
    """The model in the file `source`, or that the callable `package.module:name` returns.

    The callable may be followed by keyword arguments, as in
    `keras.applications:ResNet50(weights=None)`.

    Args:
        source: the file or callable.
        structure_only: build without pretrained weights where the callable can: nothing has to
            be downloaded to list a model's layers.
        trusted: let a file run the code that it carries, such as that of a `Lambda` layer.

    Raises:
        MissingFileError: there is no such file.
        ModelError: the file or callable gives no Keras model.
    """
    called = CALLABLE.fullmatch(source)
    if called and not Path(source).exists():
        return _call(called, source, structure_only=structure_only)
    return _load_file(Path(source), trusted=trusted)


def _load_file(path: Path, *, trusted: bool) -> Any:
    import keras

    if not path.exists():
        raise MissingFileError(
            f"{path} does not exist: name a .keras file, or a callable as package.module:name"
        )
    if path.suffix != ".keras":
        raise ModelError(f"{path} is not a .keras file: save the model with model.save('m.keras')")
    try:
        # A .keras file can carry code, and may come from anyone.
        return keras.saving.load_model(path, compile=False, safe_mode=not trusted)
    except Exception as error:
        if not trusted and "safe_mode" in str(error):
            raise ModelError(
                f"{path} carries code of its own, which is not run unasked: if you know where it "
                "comes from, trust it (--trust)"
            ) from error
        raise ModelError(
            f"{path} cannot be loaded as a Keras model: {first_line(error)}"
        ) from error


def _call(called: re.Match[str], source: str, *, structure_only: bool) -> Any:
    import keras

    factory = _find(called["module"], called["name"])
    arguments = _arguments(called["arguments"] or "()", source)
    if structure_only and "weights" in _parameters(factory):
        arguments.setdefault("weights", None)
    try:
        model = factory(**arguments)
    except Exception as error:
        hint = ""
        if "weights" in _parameters(factory) and "weights" not in arguments:
            hint = f"; for random weights: {called['module']}:{called['name']}(weights=None)"
        raise ModelError(f"{source} failed to build a model: {first_line(error)}{hint}") from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"{source} returned a {type(model).__name__}, not a keras.Model")
    return model


def _find(module_name: str, name: str) -> Callable[..., Any]:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found: Any = import_module(module_name)
    except Exception as error:
        raise ModelError(
            f"the module {module_name!r} does not import: {first_line(error)}"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            public = [known for known in dir(found) if not known.startswith("_")]
            raise ModelError(f"{module_name!r} has no {part!r}: {nearest(part, public)}")
        found = getattr(found, part)
    if not callable(found):
        raise ModelError(f"{module_name}:{name} is a {type(found).__name__}, not a callable")
    return found  # type: ignore[no-any-return]


def _arguments(text: str, source: str) -> dict[str, Any]:
    """Keyword arguments with literal values, read without running anything."""
    try:
        call = ast.parse(f"f{text}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("only keyword arguments can be given")
        return {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise ModelError(f"{source}: the arguments cannot be read: {error}") from error


def _parameters(factory: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return set()
