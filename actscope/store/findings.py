"""What a check of a recording finds: plain data, so that whoever checks can tell whoever asks."""

from typing import NamedTuple


class Finding(NamedTuple):
    """Something that is wrong in a file.

    Attributes:
        place: where, such as `"/layers/conv2d/output"`.
        problem: what, in words.
    """

    place: str
    problem: str
