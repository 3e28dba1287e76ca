"""Words for how many there are of something."""


def counted(count: int, noun: str) -> str:
    """Such as `"1 channel"` or `"2,048 channels"`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
