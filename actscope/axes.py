"""What axes and shapes are called where nothing better is known than the number of axes."""

from collections.abc import Sequence

_CHANNELS_LAST: dict[int, tuple[str, ...]] = {
    0: (),
    1: ("channel",),
    2: ("token", "channel"),
    3: ("y", "x", "channel"),
    4: ("z", "y", "x", "channel"),
}


_CHANNEL_AXES = ("head", "channel", "feature")


def channels_last(rank: int) -> tuple[str, ...]:
    """Names for the axes of one sample of an activation that has `rank` of them."""
    unnamed = tuple(f"axis_{number}" for number in range(1, rank))
    return _CHANNELS_LAST.get(rank, (*unnamed, "channel"))


def shape_text(shape: Sequence[int | None], first: str = "N") -> str:
    """The shape of a sample behind a word for the sample axis: `(N, 24, 24, 6)`, free ones any."""
    inner = "".join(f", {'any' if length is None else length}" for length in shape)
    return f"({first}{inner})" if shape else f"({first},)"


def channel_axis(axes: Sequence[str]) -> int | None:
    """Which axis the channels are: head, channel or feature, else the last; None without axes."""
    for name in _CHANNEL_AXES:
        if name in axes:
            return list(axes).index(name)
    return len(axes) - 1 if axes else None
