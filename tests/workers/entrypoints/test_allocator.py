"""Large buffers are mapped one by one, also after one of them was freed."""

import ctypes
import subprocess
import sys

import pytest

# In a process of its own: the threshold is the process's, and pytest has freed large ones already.
_LOOK = """
import ctypes, sys
from workers.entrypoints.allocator import map_large_buffers

class Mallinfo2(ctypes.Structure):  # malloc.h
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo2
bytearray(8 * 1024 * 1024)  # start-up frees such blocks, too
told = map_large_buffers() if sys.argv[1] == "told" else None
freed = bytearray(256 * 1024)
del freed
before = mallinfo2().hblkhd
kept = [bytearray(256 * 1024) for _ in range(4)]
print(told, (mallinfo2().hblkhd - before) // len(kept))
"""


def _mapped_for_each(how: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, how], capture_output=True, text=True, check=True
    )
    told, mapped = done.stdout.split()
    return told, int(mapped)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="not glibc 2.33 or later: nothing to ask"
)
def test_large_buffers_stay_mapped_after_one_was_freed() -> None:
    told, mapped = _mapped_for_each("told")

    assert told == "True"
    assert mapped >= 256 * 1024
    # What it is there for: by itself glibc maps no more of them then.
    assert _mapped_for_each("not told") == ("None", 0)
