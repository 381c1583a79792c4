"""Memory settings for processes that send or receive messages of several megabytes."""

import ctypes

# glibc's mallopt parameters, and the largest threshold that it accepts.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_KEPT = 256 * 2**20


def keep_freed_memory() -> bool:
    """Lets this process keep up to 256 MiB of freed memory instead of returning it; whether the C library can do that.

    By default glibc maps each block of megabytes anew and unmaps it when freed, so that every copy of a large message
    on its way through DDS faults its pages in again: that was half of a 4 MB pointmap's time between two processes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    accepted = [mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD), mallopt(_TRIM_THRESHOLD, _KEPT)]
    return all(accepted)
