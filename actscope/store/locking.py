"""Lets one process at a time write a file, with a lock that ends with the process that holds it.

HDF5 itself, and with it every reader, uses `flock`; locks of open file descriptions (`fcntl`) do
not meet those, so a recording can be read while it is written.
"""

import errno
import os
import struct
import sys
from pathlib import Path

from actscope.errors import OutputInUseError

if sys.platform != "win32":
    import fcntl

_BUSY = (errno.EACCES, errno.EAGAIN)
_WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def lock(descriptor: int, path: Path) -> None:
    """Claim an open file for writing until its descriptor is closed.

    Systems and file systems without locks let everybody write.

    Raises:
        OutputInUseError: another process, or another writer in this one, holds it.
    """
    if sys.platform == "win32":
        return
    try:
        if hasattr(fcntl, "F_OFD_SETLK"):
            whole_file = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole_file)
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            raise OutputInUseError(
                f"{path} is being written by another run: wait until it has ended, or choose "
                "another name"
            ) from error
        if error.errno not in _WITHOUT_LOCKS:
            raise


def open_locked(path: Path, *, create: bool = False) -> int:
    """Open a file for reading and writing and claim it; returns its descriptor.

    Raises:
        OutputInUseError: it is being written.
    """
    flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | (os.O_CREAT if create else 0)
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            lock(descriptor, path)
            if _is_still_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_still_at(path: Path, descriptor: int) -> bool:
    """Whether nobody renamed or removed the file between opening and locking it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
