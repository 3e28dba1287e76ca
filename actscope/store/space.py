"""Room on the disk: how much is free, and how to reserve it before anything is computed."""

import errno
import os
import shutil
from pathlib import Path

from actscope.errors import DiskFullError


def check_free(folder: Path, needed: int, freed: int = 0) -> None:
    """Refuse to start where the disk cannot hold the recording.

    Args:
        folder: where the file will stand.
        needed: bytes that it will take.
        freed: bytes that replacing an existing file gives back at the end; the old file stays
            until the new one is in place, so they count only in the message.

    Raises:
        DiskFullError: fewer bytes are free than needed.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        replaced = (
            f" (the file to be replaced holds {freed:,} of the bytes in use)" if freed else ""
        )
        raise DiskFullError(
            f"the recording needs {needed:,} bytes and {folder} has {free:,} free{replaced}: "
            "select fewer layers or samples, or write to another disk"
        )


def is_full(error: OSError) -> bool:
    """Whether an error means that there is no more room, on the disk or for this user."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def reserve(descriptor: int, size: int, folder: Path) -> None:
    """Allocate the blocks of an open file, where the system can, so that writing cannot fail.

    In memory that would take as long as writing does, page by page, with nothing computed
    meanwhile: there the file only gets its size.

    Raises:
        DiskFullError: the disk has not that much room.
    """
    is_slow = _is_in_memory(descriptor)
    try:
        if hasattr(os, "posix_fallocate") and not is_slow:
            os.posix_fallocate(descriptor, 0, size)
        elif os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
    except OSError as error:
        if is_full(error):
            check_free(folder, size)
            raise cannot_be_reserved(size, folder, error) from error
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise


def _is_in_memory(descriptor: int) -> bool:
    """Whether an open file stands in memory and not on a disk, as Linux tells it."""
    device = os.fstat(descriptor).st_dev
    number = f"{os.major(device)}:{os.minor(device)}" if hasattr(os, "major") else ""
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    # 36 35 0:31 / /dev/shm rw,nosuid - tmpfs tmpfs rw; see proc_pid_mountinfo(5).
    kinds = (mount.partition(" - ")[2].split() for mount in mounts if f" {number} " in mount)
    return any(kind[:1] in (["tmpfs"], ["ramfs"]) for kind in kinds)


def cannot_be_reserved(size: int, folder: Path, error: OSError) -> DiskFullError:
    """The error for a recording of `size` bytes that the disk turned out not to hold."""
    return DiskFullError(
        f"the recording needs {size:,} bytes and they cannot be reserved in {folder} "
        f"({error.strerror}): select fewer layers or samples, or write to another disk"
    )
