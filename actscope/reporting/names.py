"""What a sample is called on the page."""

from actscope.render.words import shorten
from actscope.store.reader import Recording

_LONGEST_ID = 80


def sample_name(recording: Recording, position: int) -> str:
    """Such as `"sample 7 · digit-07 · label 3"`."""
    parts = [f"sample {position}"]
    if recording.ids:
        parts.append(shorten(recording.ids[position], _LONGEST_ID))
    if recording.labels is not None:
        parts.append(f"label {recording.labels[position]}")
    if recording.epochs is not None:
        parts.append(f"epoch {recording.epochs[position]}")
    return " · ".join(parts)
