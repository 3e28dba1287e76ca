"""The pipeline, with a step and a writer that misbehave on purpose."""

import threading
import time
import weakref

import numpy as np
import pytest

from actscope.channel import Channel, ChannelClosedError
from actscope.errors import DiskFullError, ModelError
from actscope.pipeline import read_ahead, record
from actscope.protocol import Fetched


class Doubling:
    """A step that doubles; notes what was launched before what was fetched."""

    def __init__(self, fail_at=None):
        self.events = []
        self.fail_at = fail_at

    def stage(self, arrays):
        return arrays

    def launch(self, inputs):
        number = sum(kind == "launch" for kind, _ in self.events)
        if number == self.fail_at:
            raise RuntimeError("out of memory\nand more")
        self.events.append(("launch", number))
        return number, [array * 2 for array in inputs]

    def fetch(self, launched):
        self.events.append(("fetch", launched[0]))
        return Fetched(launched[1])


class Kept:
    """A writer that keeps what it gets."""

    def __init__(self, fail_at=None):
        self.batches = []
        self.committed = False
        self.fail_at = fail_at

    def append(self, batch):
        if len(self.batches) == self.fail_at:
            raise DiskFullError("the disk filled up")
        self.batches.append([np.array(part) for part in batch])

    def commit(self):
        self.committed = True


def batches(count, size=4, last=4):
    rows = np.arange(count * size, dtype=np.float32)
    for start in range(0, count * size, size):
        stop = start + (last if start == (count - 1) * size else size)
        yield (rows[start:stop],)


def run(feed, step, writer, stored_inputs=()):
    done = []
    record(feed, step, writer, batch_size=4, stored_inputs=stored_inputs, on_batch=done.append)
    return done


def test_rows_arrive_in_order_with_the_last_batch_trimmed():
    writer = Kept()
    assert run(batches(5, last=2), Doubling(), writer, [0]) == [4, 4, 4, 4, 2]
    inputs, outputs = (np.concatenate(parts) for parts in zip(*writer.batches, strict=True))
    np.testing.assert_array_equal(inputs, np.arange(18))
    np.testing.assert_array_equal(outputs, np.arange(18) * 2)
    assert writer.committed


def test_the_next_batch_is_launched_before_the_last_is_fetched():
    step = Doubling()
    run(batches(4), step, Kept())
    assert step.events.index(("launch", 1)) < step.events.index(("fetch", 0))
    assert step.events.index(("launch", 3)) < step.events.index(("fetch", 2))
    assert len(step.events) == 8


def test_a_step_stages_whole_batches_in_the_thread_that_reads():
    threads = set()

    class Staging(Doubling):
        def stage(self, arrays):
            threads.add(threading.current_thread())
            return [len(arrays[0]), *arrays]

        def launch(self, staged):
            size, *arrays = staged
            assert size == 4
            return super().launch(arrays)

    step, writer = Staging(), Kept()
    run(batches(5, last=2), step, writer)
    assert threading.current_thread() not in threads
    outputs = np.concatenate([batch[0] for batch in writer.batches])
    np.testing.assert_array_equal(outputs, 2 * np.arange(18))


def test_an_error_in_staging_is_the_models():
    class Failing(Doubling):
        def stage(self, arrays):
            if arrays[0][0] == 8:
                raise RuntimeError("out of memory\nand more")
            return arrays

    writer = Kept()
    with pytest.raises(ModelError, match=r"after 8 samples: RuntimeError: out of memory$"):
        run(batches(5), Failing(), writer)
    assert writer.committed


def test_memory_stays_bounded_when_writing_is_slow():
    read = 0

    def feed():
        nonlocal read
        for batch in batches(40):
            read += 1
            yield batch

    class Slow(Kept):
        ahead = 0

        def append(self, batch):
            time.sleep(0.005)
            super().append(batch)
            Slow.ahead = max(Slow.ahead, read - len(self.batches))

    run(feed(), Doubling(), Slow())
    assert Slow.ahead <= 9


def soon(is_so):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.01)
    return False


def threads_end():
    return soon(
        lambda: not any(thread.name.startswith("actscope") for thread in threading.enumerate())
    )


def test_nothing_holds_a_batch_once_it_is_written():
    class Watching(Doubling):
        fetched = ()

        def launch(self, inputs):
            # The one fetched last was handed over; nothing may wait for the next to let it go.
            assert soon(lambda: all(one() is None for one in self.fetched))
            return super().launch(inputs)

        def fetch(self, launched):
            outputs = [array.copy() for array in launched[1]]
            self.fetched = [weakref.ref(array) for array in outputs]
            return Fetched(outputs)

    run(batches(5), Watching(), Kept())


def test_what_was_launched_is_let_go_before_its_outputs_are_written():
    class Handle(list):
        """A list that can be watched."""

    handles = []

    class Watching(Doubling):
        def launch(self, inputs):
            handle = Handle(super().launch(inputs))
            handles.append(weakref.ref(handle))
            return handle

    def on_batch(_):
        assert sum(handle() is not None for handle in handles) <= 1

    step, writer = Watching(), Kept()
    record(batches(5), step, writer, batch_size=4, stored_inputs=(), on_batch=on_batch)
    assert len(handles) == 5
    assert not any(handle() for handle in handles)


def test_an_error_in_the_data_keeps_what_was_computed():
    def broken():
        yield from batches(3)
        raise OSError("cannot read picture 12")

    writer = Kept()
    with pytest.raises(OSError, match="picture 12"):
        run(broken(), Doubling(), writer)
    assert len(writer.batches) == 2  # the third was launched, not fetched
    assert writer.committed
    assert threads_end()


def test_an_error_in_the_model_says_how_far_it_got_and_keeps_what_was_computed():
    writer = Kept()
    with pytest.raises(ModelError, match=r"failed after 8 samples: RuntimeError: out of memory$"):
        run(batches(100), Doubling(fail_at=3), writer)
    assert len(writer.batches) == 2
    assert writer.committed
    assert threads_end()


def test_an_error_in_the_writer_ends_an_endless_feed():
    def endless():
        while True:
            yield from batches(3)

    with pytest.raises(DiskFullError):
        run(endless(), Doubling(), Kept(fail_at=2))
    assert threads_end()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_under_way_any_more_once_an_error_is_told(error):
    class Failing(Doubling):
        def fetch(self, launched):
            found = super().fetch(launched)
            if launched[0] == 3:
                raise error
            return found

    step = Failing()
    with pytest.raises((ModelError, KeyboardInterrupt)):
        run(batches(9), step, Kept())
    launched, fetched = (
        [number for event, number in step.events if event == kind] for kind in ("launch", "fetch")
    )
    assert launched == fetched == [0, 1, 2, 3, 4]


def test_an_interrupt_keeps_what_was_computed():
    writer = Kept()

    class Interrupted(Doubling):
        def fetch(self, launched):
            if launched[0] == 3:
                raise KeyboardInterrupt
            return super().fetch(launched)

    with pytest.raises(KeyboardInterrupt):
        run(batches(9), Interrupted(), writer)
    assert len(writer.batches) == 3
    assert writer.committed


def test_read_ahead_gives_the_same_items():
    assert list(read_ahead(range(100), 3)) == list(range(100))


def test_a_closed_channel_gives_what_it_holds_and_takes_no_more():
    channel = Channel(3)
    channel.put(1)
    channel.put(2)
    channel.close()
    with pytest.raises(ChannelClosedError):
        channel.put(3)
    assert list(channel) == [1, 2]


def test_closing_wakes_who_waits_to_put():
    channel = Channel(1)
    channel.put(1)
    outcome = []

    def put():
        try:
            channel.put(2)
        except ChannelClosedError:
            outcome.append("woken")

    thread = threading.Thread(target=put)
    thread.start()
    time.sleep(0.05)
    channel.close()
    thread.join(5)
    assert outcome == ["woken"]
