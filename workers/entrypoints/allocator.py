"""What the C library is told about memory before calls come."""

from __future__ import annotations

import ctypes
from typing import Final

# malloc.h of glibc; mallopt(3) has what they are until the first mapped block is freed.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_THRESHOLD_BYTES: Final = 128 * 1024


def map_large_buffers() -> bool:
    """Have each buffer of 128 KiB or more mapped by itself, and given back when it is freed.

    uvloop makes one of 256 KiB for every TLS connection (``SSL_READ_MAX_SIZE``, sslproto.pyx), of
    which a session's messages touch the first few pages. Mapped, only those count. But whenever
    glibc unmaps a block it raises its thresholds (mallopt(3)): later buffers come out of the heap,
    whose end is not given back, from pages that others have used. That took 0.1 MiB more for each
    call, measured by ``tests/benchmarks/memory_per_call.py``. A threshold that is set stays.

    Returns:
        Whether the C library has such thresholds; musl and macOS have none.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    # Both: the heap's end is wide enough for such a buffer where it is given back too late.
    mapped = mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
    trimmed = mallopt(_M_TRIM_THRESHOLD, _THRESHOLD_BYTES)
    return bool(mapped and trimmed)
