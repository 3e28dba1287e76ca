"""Records what a program does to files, and plays back as much of it as a crash would leave."""

import io
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import h5py


@dataclass(frozen=True)
class Operation:
    """One change: a kind, the file's name, and a place with bytes, a length, or another name."""

    kind: str
    name: str
    offset: int = 0
    data: bytes = b""
    target: str = ""


@dataclass
class Tape:
    """Every change to the files of a folder, in order; those of the HDF5 library included."""

    folder: Path
    operations: list[Operation] = field(default_factory=list)

    def note(self, kind, path, **words):
        path = Path(path)
        if path.parent == self.folder:
            self.operations.append(Operation(kind, path.name, **words))

    @contextmanager
    def recording(self):
        """Record within; everything is done to the files, too."""
        real = {name: getattr(os, name) for name in PATCHED}
        patches = [mock.patch.object(os, name, self._patched(name, real[name])) for name in PATCHED]
        patches.append(mock.patch.object(h5py, "File", self._library(h5py.File)))
        for patch in patches:
            patch.start()
        try:
            yield self
        finally:
            for patch in patches:
                patch.stop()

    def _patched(self, name, real):
        def call(*arguments, **words):
            if name in SYNCHRONISING:  # what others write meanwhile it may leave out
                self.note("syncing", _path(arguments[0]))
            result = real(*arguments, **words)
            getattr(self, f"_note_{name}")(result, *arguments)
            return result

        return call

    def _note_pwritev(self, written, descriptor, buffers, offset):
        data = b"".join(bytes(buffer) for buffer in buffers)[:written]
        self.note("write", _path(descriptor), offset=offset, data=data)

    def _note_posix_fallocate(self, _, descriptor, offset, length):
        self.note("extend", _path(descriptor), offset=offset + length)

    def _note_ftruncate(self, _, descriptor, length):
        self.note("truncate", _path(descriptor), offset=length)

    def _note_open(self, descriptor, path, flags, *_):
        if flags & os.O_CREAT:
            self.note("create", path)

    def _note_replace(self, _, source, target):
        self.note("rename", source, target=Path(target).name)

    def _note_unlink(self, _, path):
        self.note("unlink", path)

    def _note_fsync(self, _, descriptor):
        self.note("sync", _path(descriptor))

    _note_fdatasync = _note_fsync

    def _library(self, real):
        def file(source, mode="r", **words):
            if mode == "r" or isinstance(source, io.BytesIO):
                return real(source, mode, **words)
            return real(LibraryFile(self, source), mode, **words)

        return file


PATCHED = (
    "pwritev",
    "posix_fallocate",
    "open",
    "ftruncate",
    "replace",
    "unlink",
    "fsync",
    "fdatasync",
)


SYNCHRONISING = ("fsync", "fdatasync")


def _path(descriptor):
    return Path(f"/proc/self/fd/{descriptor}").readlink()


class LibraryFile:
    """A file for h5py's file-object driver: every write of the HDF5 library passes here."""

    def __init__(self, tape, file):
        self.tape, self.file = tape, file
        self.path = _path(file.fileno())

    def write(self, data):
        self.tape.note("write", self.path, offset=self.file.tell(), data=bytes(data))
        return self.file.write(data)

    def truncate(self, size):
        self.tape.note("truncate", self.path, offset=size)
        return self.file.truncate(size)

    def __getattr__(self, name):
        return getattr(self.file, name)


def play(operations, files):
    """What a folder that holds `files` (name to bytes) holds after the operations."""
    files = {name: bytearray(content) for name, content in files.items()}
    for operation in operations:
        _play(operation, files)
    return files


def put(files, folder):
    """Make a folder hold just these files (name to bytes)."""
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _play(operation, files):
    name = operation.name
    if operation.kind == "create":
        files.setdefault(name, bytearray())
    elif operation.kind == "rename":
        files[operation.target] = files.pop(name)
    elif operation.kind == "unlink":
        files.pop(name, None)
    elif operation.kind == "truncate":
        content = files[name]
        del content[operation.offset :]
        content.extend(bytes(operation.offset - len(content)))
    elif operation.kind in ("write", "extend"):
        content = files[name]
        end = operation.offset + len(operation.data)
        content.extend(bytes(max(0, end - len(content))))
        content[operation.offset : end] = operation.data


def unsynchronised(operations):
    """Positions of the writes that are not yet brought to the disk at the end."""
    waiting, under_way = {}, {}
    for position, operation in enumerate(operations):
        if operation.kind == "write":
            waiting.setdefault(operation.name, []).append(position)
        elif operation.kind == "syncing":
            under_way[operation.name] = set(waiting.get(operation.name, ()))
        elif operation.kind == "sync":
            done = under_way.pop(operation.name)
            left = waiting.pop(operation.name, [])
            waiting[operation.name] = [place for place in left if place not in done]
        elif operation.kind == "rename":
            waiting[operation.target] = waiting.pop(operation.name, [])
    return [position for positions in waiting.values() for position in positions]
