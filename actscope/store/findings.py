"""What a check of a recording finds: plain data, so that whoever checks can tell whoever asks."""

from pathlib import Path
from typing import NamedTuple

from actscope.errors import FormatError


class Finding(NamedTuple):
    """Something that is wrong in a file.

    Attributes:
        place: where, such as `"/layers/conv2d/output"`.
        problem: what, in words.
    """

    place: str
    problem: str


def finding(place: str, error: FormatError, path: Path | str) -> Finding:
    """What reading a part of the file at `path` was refused for, without the name of the file."""
    return Finding(place, str(error).removeprefix(f"{path}: "))
