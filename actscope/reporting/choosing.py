"""Says which samples a page shows, from what the user gave."""

from collections.abc import Sequence

from actscope.errors import RenderError
from actscope.render.subject import find_sample
from actscope.store.reader import Recording

Samples = slice | Sequence[int | str]
"""Positions, as a slice or one by one, or ids."""

FEW_SAMPLES = 4
"""How many samples are shown where none were asked for."""

MOST_SAMPLES = 64
"""More samples than that are refused."""

MOST_PICTURES = 4096
"""More pictures than that, of all layers and samples, are refused."""


def choose_samples(recording: Recording, samples: Samples | None, tensors: int) -> list[int]:
    """The positions of the samples to show.

    Args:
        recording: what they are samples of.
        samples: which; None is the first few.
        tensors: of how many tensors there will be a picture of each.

    Raises:
        RenderError: there is no such sample, there are none, or they are too many.
    """
    if samples is None:
        few = min(FEW_SAMPLES, MOST_PICTURES // max(1, tensors))
        return list(range(min(max(1, few), recording.samples)))
    if isinstance(samples, slice):
        chosen = list(range(recording.samples))[samples]
    else:
        name, count = recording.path.name, recording.samples
        chosen = [find_sample(sample, count, recording.ids, name) for sample in samples]
    if not chosen:
        raise RenderError(f"no samples were chosen of the {recording.samples} in {recording.path}")
    if len(chosen) > MOST_SAMPLES or (len(chosen) > 1 and len(chosen) * tensors > MOST_PICTURES):
        most = max(1, min(MOST_SAMPLES, MOST_PICTURES // max(1, tensors)))
        raise RenderError(
            f"{len(chosen)} samples of {tensors} tensors are too many for one page: choose at "
            f"most {most}, as in --samples 0:{most}"
        )
    return list(dict.fromkeys(chosen))


def parse_samples(text: str) -> Samples:
    """`"0:8"`, `"0:100:10"`, or positions and ids set apart by commas, as in `"3,-1,digit-07"`.

    Raises:
        RenderError: it is none of these.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise RenderError(f"no samples {text!r}: give 0:8, or positions and ids as in 3,-1,img-07")
    ends = text.split(":")
    if len(ends) in (2, 3) and all(_is_whole(end) or not end.strip() for end in ends):
        if len(ends) == 3 and ends[2].strip() == "0":
            raise RenderError(f"no samples {text!r}: the step must not be 0")
        return slice(*(int(end) if end.strip() else None for end in ends))
    return [int(part) if _is_whole(part) else part for part in parts]


def _is_whole(text: str) -> bool:
    digits = text.strip().removeprefix("-")
    return digits.isascii() and digits.isdigit()
