"""A bounded queue between two threads that both can end: what the pipeline's stages hang on.

Unlike `queue.Queue` (before Python 3.13), closing it wakes whoever waits, so that no stage waits
for ever for one that has failed.
"""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ChannelClosedError(Exception):
    """The other side has closed the channel."""


class Channel(Generic[Item]):
    """Items in order, at most `depth` of them waiting."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Item) -> None:
        """Hand over an item, waiting for room.

        Raises:
            ChannelClosedError: the channel is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._depth)
            if self._closed:
                raise ChannelClosedError
            self._items.append(item)
            self._changed.notify_all()

    def close(self) -> None:
        """No more items; those already handed over can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        """Take items until the channel is closed and empty."""
        while taken := self._take():
            # Popped, so that who takes an item is the only one to hold it.
            yield taken.pop()

    def _take(self) -> list[Item]:
        """The next item; none once the channel is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._items))
            taken = [self._items.popleft()] if self._items else []
            self._changed.notify_all()
        return taken
