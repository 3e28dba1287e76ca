"""The names that axes have where nothing better is known than their number."""

CHANNELS_LAST: dict[int, tuple[str, ...]] = {
    0: (),
    1: ("channel",),
    2: ("token", "channel"),
    3: ("y", "x", "channel"),
    4: ("z", "y", "x", "channel"),
}
"""Names for the axes of one sample of an activation, by how many there are."""
