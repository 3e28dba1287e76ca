"""Says which samples a page shows, from what the user gave."""

from actscope.errors import RenderError
from actscope.render.several import Samples, positions_of
from actscope.store.reader import Recording

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
    chosen = positions_of(samples, recording.samples, recording.ids, recording.path.name)
    if len(chosen) > MOST_SAMPLES or (len(chosen) > 1 and len(chosen) * tensors > MOST_PICTURES):
        most = max(1, min(MOST_SAMPLES, MOST_PICTURES // max(1, tensors)))
        raise RenderError(
            f"{len(chosen)} samples of {tensors} tensors are too many for one page: choose at "
            f"most {most}, as in --samples 0:{most}"
        )
    return list(dict.fromkeys(chosen))
