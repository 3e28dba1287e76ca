"""What `padding="same"` adds around the positions of an axis, in Keras as in TensorFlow."""


def same_padding(length: int, size: int, stride: int) -> tuple[int, int]:
    """How many positions come before and after, the odd one after.

    Args:
        length: of the axis.
        size: of a window along it.
        stride: from a window to the next.
    """
    missing = max(0, (-(-length // stride) - 1) * stride + size - length)
    return missing // 2, missing - missing // 2
