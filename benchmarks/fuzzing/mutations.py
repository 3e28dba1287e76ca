"""Changes the bytes of a recording: anywhere, and where they are lengths, offsets and text.

Of a journal also what its checksums cover, with checksums that are right again: whoever wrote it,
meant it.
"""

import json
import struct
from collections.abc import Callable, Mapping

import numpy as np

from actscope.store.journal import _HEADER, MAGIC, _entry
from benchmarks.fuzzing.originals import NAME, Original

INTERESTING = (
    *(0, 1, 2, 7, 8, 127, 128, 255, 256, 4095, 4096, 32767, 65535, 2**24),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
)
SIGNATURES = (b"TREE", b"SNOD", b"HEAP", b"GCOL", b"FRHP", b"FHDB", b"BTHD", b"BTLF", MAGIC)
MOST_CHANGES = 4
IN_STRUCTURES = 0.8
SIGNED_AGAIN = 0.7

Random = np.random.Generator
Files = dict[str, bytes]


def mutant(original: Original, number: int) -> tuple[Files, str]:
    """The files of the mutant of that number, and in words what was done to them."""
    random = np.random.default_rng([number, sum(original.name.encode())])
    files = dict(original.files)
    name = str(random.choice(sorted(files)))
    if files[name].startswith(MAGIC) and random.random() < SIGNED_AGAIN:
        files[name], done = _signed_again(files[name], random)
        return files, f"{name}: {done}"
    content, words = bytearray(files[name]), []
    spans = original.spans if name.startswith(NAME) and len(files) == 1 else ()
    for _ in range(int(random.integers(1, MOST_CHANGES + 1))):
        change = CHANGES[int(random.integers(len(CHANGES)))]
        place = _place(content, spans, random)
        words.append(f"{change.__name__.strip('_')} at {place}")
        change(content, place, random)
    files[name] = bytes(content)
    return files, f"{name}: {', '.join(words)}"


def _place(content: bytearray, spans: tuple[tuple[int, int], ...], random: Random) -> int:
    """Somewhere; mostly in what describes the rows, often close to where a structure begins."""
    place = int(random.integers(max(1, len(content))))
    if random.random() > IN_STRUCTURES:
        return place
    if random.random() < 0.5:
        signature = SIGNATURES[int(random.integers(len(SIGNATURES)))]
        found = bytes(content).find(signature, place)
        found = found if found >= 0 else bytes(content).find(signature)
        if found >= 0:
            return min(found + int(random.integers(64)), len(content) - 1)
    for _ in range(20):
        if content and content[place] and not any(a <= place < b for a, b in spans):
            break
        place = int(random.integers(max(1, len(content))))
    return place


def _flip_a_bit(content: bytearray, place: int, random: Random) -> None:
    if content:
        content[place] ^= 1 << int(random.integers(8))


def _set_a_byte(content: bytearray, place: int, random: Random) -> None:
    if content:
        content[place] = int(random.integers(256))


def _put_a_number(content: bytearray, place: int, random: Random) -> None:
    """In the place of a length or an offset one that is known to matter."""
    width = int(random.choice([1, 2, 4, 8]))
    place -= place % width
    if place + width > len(content):
        return
    old = int.from_bytes(content[place : place + width], "little")
    size = len(content)
    other = int.from_bytes(content[place - 8 : place], "little") if place >= 8 else 0
    near = (old - 1, old + 1, old * 2, old // 2, size, size - 1, size - width, place, other)
    every = INTERESTING + near
    value = every[int(random.integers(len(every)))] % 2 ** (8 * width)
    content[place : place + width] = value.to_bytes(width, "little")


def _put_another_address(content: bytearray, place: int, random: Random) -> None:
    """What stands elsewhere as a number of eight bytes."""
    there = int(random.integers(max(1, len(content) // 8))) * 8
    place -= place % 8
    if max(place, there) + 8 <= len(content):
        content[place : place + 8] = content[there : there + 8]


def _length(random: Random) -> int:
    return int(2 ** random.uniform(0, 10))


def _put_zeros(content: bytearray, place: int, random: Random) -> None:
    content[place : place + _length(random)] = bytes(len(content[place : place + _length(random)]))


def _copy_a_range(content: bytearray, place: int, random: Random) -> None:
    there, length = int(random.integers(max(1, len(content)))), _length(random)
    taken = content[there : there + length]
    content[place : place + len(taken)] = taken


def _swap_ranges(content: bytearray, place: int, random: Random) -> None:
    there, length = int(random.integers(max(1, len(content)))), _length(random)
    first, second = sorted((place, there))
    length = min(length, second - first, len(content) - second)
    one, other = content[first : first + length], content[second : second + length]
    content[first : first + length], content[second : second + length] = other, one


def _leave_out(content: bytearray, place: int, random: Random) -> None:
    del content[place : place + _length(random)]


def _put_in(content: bytearray, place: int, random: Random) -> None:
    content[place:place] = random.bytes(_length(random))


def _cut_off(content: bytearray, place: int, random: Random) -> None:
    if random.random() < 0.3:
        del content[place:]


CHANGES: tuple[Callable[[bytearray, int, Random], None], ...] = (
    *(_flip_a_bit, _flip_a_bit, _set_a_byte, _put_a_number, _put_a_number, _put_a_number),
    *(_put_another_address, _put_zeros, _copy_a_range, _swap_ranges),
    *(_leave_out, _put_in, _cut_off),
)


def _signed_again(journal: bytes, random: Random) -> tuple[bytes, str]:
    """A journal of which an entry says something else, or holds something else, or moved."""
    entries = list(_entries(journal))
    number = int(random.integers(len(entries)))
    words, payload = entries[number]
    kind = int(random.integers(4))
    if kind == 0:
        changed = bytearray(payload)
        for _ in range(int(random.integers(1, MOST_CHANGES + 1))):
            change = CHANGES[int(random.integers(len(CHANGES)))]
            change(changed, _place(changed, (), random), random)
        entries[number] = words, bytes(changed)
        done = f"payload of entry {number}"
    elif kind == 1:
        other = int(random.integers(len(entries)))
        entries[number], entries[other] = entries[other], entries[number]
        done = f"entries {number} and {other} swapped"
    else:
        entries[number] = json.loads(_other_words(json.dumps(words), random)), payload
        done = f"words of entry {number}"
    try:
        return b"".join(_entry(*entry) for entry in _packed(entries)), done
    except (AttributeError, TypeError, struct.error):
        return journal, "nothing"


def _entries(journal: bytes) -> list[tuple[Mapping[str, object], bytes]]:
    place, found = 0, []
    while place < len(journal):
        _, _, length, more = _HEADER.unpack_from(journal, place)
        place += _HEADER.size
        start = place + length
        found.append((json.loads(journal[place:start]), journal[start : start + more]))
        place = start + more
    return found


def _packed(
    entries: list[tuple[Mapping[str, object], bytes]],
) -> list[tuple[Mapping[str, object], list[bytes]]]:
    return [(words, [payload]) for words, payload in entries]


def _other_words(text: str, random: Random) -> str:
    """The same JSON with another value in a place or two, still JSON."""
    tokens = json.loads(text)
    for _ in range(int(random.integers(1, 3))):
        tokens = _with_other_value(tokens, random)
    return json.dumps(tokens)


def _with_other_value(value: object, random: Random) -> object:
    if isinstance(value, dict) and value and random.random() < 0.95:
        key = sorted(value)[int(random.integers(len(value)))]
        if random.random() < 0.05:
            return {name: held for name, held in value.items() if name != key}
        return {**value, key: _with_other_value(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.95:
        place = int(random.integers(len(value)))
        return [*value[:place], _with_other_value(value[place], random), *value[place + 1 :]]
    near = [value + step for step in (-1, 1)] if isinstance(value, int) else []
    others = [*near, *INTERESTING, -1, 0.5, None, True, "text", "", [], {}, [1, 2, 3], {"a": 1}]
    return others[int(random.integers(len(others)))]
