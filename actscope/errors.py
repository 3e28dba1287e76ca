"""The one family of errors that actscope raises on purpose.

Each says what was done, on what, what was found and how to mend it. Those that mean the same as
a built-in error are that error too, so that `except KeyError` and `except OSError` work as usual.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches


class ActscopeError(Exception):
    """Base of every error raised by actscope."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; these messages are sentences.
        return str(self.args[0]) if self.args else ""


class ActscopeWarning(UserWarning):
    """Something that the result does not show and its user should know."""


class UnknownLayerError(ActscopeError, KeyError):
    """A layer was asked for that the model or the recording does not have."""


class SelectionError(ActscopeError, ValueError):
    """A selection of layers is malformed, or takes what cannot be recorded."""


class ReductionError(ActscopeError, ValueError):
    """A reduction is malformed, or does not fit the layer it is asked for."""


class GradientError(ActscopeError, ValueError):
    """The gradients that were asked for do not exist for this model, layer or data."""


class DataError(ActscopeError, ValueError):
    """The data do not fit the model, or each other."""


class ModelError(ActscopeError, ValueError):
    """No model could be made of what was given, or the model failed on the data."""


class BackendError(ActscopeError, ImportError):
    """The framework that was asked for is not installed, or another is already running."""


class MissingFileError(ActscopeError, FileNotFoundError):
    """A file or folder does not exist."""


class OutputExistsError(ActscopeError, FileExistsError):
    """The file to write exists, and overwriting it was not asked for."""


class OutputInUseError(ActscopeError, BlockingIOError):
    """The file to write is being written by another run."""


class ResumeError(ActscopeError, ValueError):
    """An unfinished recording differs from the one that would go on with it."""


class DiskFullError(ActscopeError, OSError):
    """The disk has no room for the recording."""


class FormatError(ActscopeError, ValueError):
    """A file is not an actscope recording, or not one that this version reads."""

    def __str__(self) -> str:
        return printable(super().__str__())  # it may quote what a stranger's file says


class RenderError(ActscopeError, ValueError):
    """What was asked for cannot be drawn."""


def printable(text: str) -> str:
    """The same text with an escape for what is no letter, such as a line break or a colour code.

    What a stranger's file says could move the cursor, or make two lines of one.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def first_line(error: BaseException) -> str:
    """What any error says, in one line without colour codes."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that names the entries of `known` most like `name`, or its first few."""
    known = list(known)
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(entry) for entry in close) + "?"
    if not known:
        return "there are none"
    listed = ", ".join(repr(entry) for entry in known[:8])
    return f"there are {len(known)}: {listed}" + (", ..." if len(known) > 8 else "")
