"""Has the records of calls stored, without what must not be: in a thread of its own.

An hour's record takes a tenth of a second to redact and to render, in which no call of this process
would be served. One thread: more would only take the interpreter from each other and from the
calls.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from agent.conversation.record import CallRecord
from agent.conversation.redaction import Redactor
from workers.store.calls import CallStore


class RecordKeeper:
    """One thread that redacts and stores."""

    def __init__(self, store: CallStore, redactor: Redactor) -> None:
        self.redactor = redactor
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="records")
        """Of one thread: what is handed to it is done in order."""
        self._store = store

    async def keep(
        self, record: CallRecord, *, fence: int, final: bool, redactor: Redactor | None = None
    ) -> None:
        """Have a record stored; when it returns it is handed to the store.

        Args:
            record: As it is now; it may be changed afterwards.
            fence: The fencing number under which it is written.
            final: The call is over.
            redactor: Of the call's agent; None: of the worker's own.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(
            self.executor, self._store_it, replace(record), fence, final, redactor
        )

    def keep_later(
        self, record: CallRecord, *, fence: int, final: bool, redactor: Redactor | None = None
    ) -> None:
        """The same without waiting for it."""
        self.executor.submit(self._store_it, replace(record), fence, final, redactor)

    def close(self) -> None:
        """Wait for the records that are on their way to the store."""
        self.executor.shutdown()

    def _store_it(
        self, record: CallRecord, fence: int, final: bool, redactor: Redactor | None
    ) -> None:
        record = (redactor or self.redactor).redact_record(record)
        self._store.save_record(record.call_sid, record, fence=fence, final=final)
