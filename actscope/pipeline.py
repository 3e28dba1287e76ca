"""Feed, launch, fetch and write as stages that overlap, with bounded memory between them.

Reading and writing have a thread each; launching and fetching share the caller's, with one batch
always launched ahead of the one that is fetched. An error in any stage ends all of them, and what
was computed until then is written and committed.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import zip_longest
from typing import Any, Protocol, TypeVar

from actscope.channel import Channel, ChannelClosedError
from actscope.errors import ActscopeError, ModelError, first_line
from actscope.feed import pad
from actscope.freed_memory import keeping_freed_memory
from actscope.protocol import Array, Fetched, Step

BATCHES_READ_AHEAD = 1
BATCHES_TO_WRITE = 1

Item = TypeVar("Item")
Batch = tuple[Array, ...]
"""Flat inputs, and targets after them."""


class Sink(Protocol):
    """Where rows go: a recording's writer, or memory."""

    def append(self, batch: Sequence[Array]) -> None:
        """Take one array `(n, *shape)` per tensor."""

    def commit(self) -> None:
        """Make all that was taken safe."""


def read_ahead(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """The same items, read in a thread of their own; an error there is raised here."""
    channel: Channel[Item] = Channel(depth)
    errors: list[BaseException] = []

    def read() -> None:
        try:
            for item in items:
                channel.put(item)
                del item
        except ChannelClosedError:
            pass
        except BaseException as error:
            errors.append(error)
        finally:
            channel.close()

    thread = threading.Thread(target=read, name="actscope-feed", daemon=True)
    thread.start()
    try:
        yield from channel
    finally:
        channel.close()
    thread.join()
    if errors:
        raise errors[0]


class WritingThread:
    """Appends batches to a recording in a thread of its own, and commits at the end."""

    def __init__(self, writer: Sink, depth: int) -> None:
        self._channel: Channel[Sequence[Array]] = Channel(depth)
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(
            target=self._write, args=(writer,), name="actscope-writer", daemon=True
        )
        self._thread.start()

    def _write(self, writer: Sink) -> None:
        try:
            for batch in self._channel:
                writer.append(batch)
                del batch
            writer.commit()
        except BaseException as error:
            self._errors.append(error)
            self._channel.close()

    def put(self, batch: Sequence[Array]) -> None:
        """Hand over a batch, waiting for room; raises what ended the thread, if anything did."""
        try:
            self._channel.put(batch)
        except ChannelClosedError:
            self.finish()

    def finish(self) -> None:
        """Write and commit all that was handed over; raises what went wrong there."""
        self._channel.close()
        self._thread.join()
        if self._errors:
            raise self._errors[0]


@keeping_freed_memory()
def record(
    batches: Iterable[Batch],
    step: Step,
    writer: Sink,
    *,
    batch_size: int,
    stored_inputs: Sequence[int],
    on_batch: Callable[[int], None],
    done: int = 0,
) -> list[int]:
    """Run every batch through the step and write what comes out.

    Args:
        batches: flat inputs, and targets after them; none longer than `batch_size`.
        step: the compiled step, for `batch_size` rows.
        writer: where rows go: the stored inputs' first, then the step's outputs.
        batch_size: rows of a whole batch; a shorter one is padded, and trimmed again.
        stored_inputs: positions of the inputs to store.
        on_batch: called with the number of samples after each batch.
        done: how many samples were recorded before these.

    Returns:
        For each tensor that may overflow, in the step's order, how many values became infinite.
    """
    writing = WritingThread(writer, BATCHES_TO_WRITE)
    overflows: list[int] = []
    try:
        staged = _staged(batches, step, batch_size, done)
        with (
            closing(read_ahead(staged, BATCHES_READ_AHEAD)) as ahead,
            closing(_run(ahead, step, done)) as results,
        ):
            for inputs, fetched in results:
                rows = len(inputs[0])
                kept = [inputs[position] for position in stored_inputs]
                writing.put([*kept, *(output[:rows] for output in fetched.outputs)])
                counts = [int(count[:rows].sum()) for count in fetched.overflows]
                overflows = [a + b for a, b in zip_longest(overflows, counts, fillvalue=0)]
                on_batch(rows)
                # Held no longer than it takes, so that its memory can be used again.
                del fetched
    except BaseException:
        # What was computed is kept; the first error is the one to tell of.
        with suppress(Exception):
            writing.finish()
        raise
    writing.finish()
    return overflows


def _staged(
    batches: Iterable[Batch], step: Step, batch_size: int, done: int
) -> Iterator[tuple[Batch, Any]]:
    """Each batch with what the step launches of it."""
    for inputs in batches:
        yield inputs, _guarded(step.stage, pad(inputs, batch_size), done)
        done += len(inputs[0])


def _run(
    staged: Iterable[tuple[Batch, Any]], step: Step, done: int
) -> Generator[tuple[Batch, Fetched], None, None]:
    """Each batch with its outputs, the next one launched before the last is fetched."""
    under_way: deque[tuple[Batch, Any]] = deque()

    def oldest() -> tuple[Batch, Fetched]:
        nonlocal done
        # Popped, so that what was launched is not held while its outputs wait to be written.
        inputs, launched = under_way.popleft()
        fetched = _guarded(step.fetch, launched, done)
        done += len(inputs[0])
        return inputs, fetched

    try:
        for inputs, arrays in staged:
            under_way.append((inputs, _guarded(step.launch, arrays, done)))
            if len(under_way) > 1:
                yield oldest()
        while under_way:
            yield oldest()
    finally:
        for _, launched in under_way:  # where something failed: nothing goes on after it was told
            with suppress(Exception):
                step.fetch(launched)


Given = TypeVar("Given")
Result = TypeVar("Result")


def _guarded(stage: Callable[[Given], Result], given: Given, done: int) -> Result:
    try:
        return stage(given)
    except ActscopeError:
        raise
    except Exception as error:
        raise ModelError(
            f"the model failed after {done} samples: {type(error).__name__}: {first_line(error)}"
        ) from error
