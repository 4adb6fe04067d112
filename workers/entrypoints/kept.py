"""A part of ``evercall up``: ``python -m`` this module, then ``evercall`` or ``celery`` and words.

It ends as on SIGTERM when its standard input does: whoever started it is gone then, however it
went.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

_READ_BYTES = 1024


def main() -> None:
    """Run the command that the words name."""
    threading.Thread(target=_leave_with_parent, name="parent", daemon=True).start()
    program, *_ = sys.argv = sys.argv[1:]
    if program == "celery":
        from celery.__main__ import main as run
    else:
        from workers.entrypoints.cli import main as run
    run()


def _leave_with_parent() -> None:
    # Not through sys.stdin: its lock would be held in processes that are forked meanwhile.
    while os.read(0, _READ_BYTES):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
