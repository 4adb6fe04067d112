"""One worker among others: its signs of life, the calls it loses and those it looks after."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from telephony.calls import twiml
from telephony.calls.rest import TwilioRest
from telephony.settings import TwilioSettings
from workers.call.active import ActiveCalls
from workers.call.entry import CallState
from workers.call.records import RecordKeeper
from workers.call.takeover import closed
from workers.fleet.heartbeat import Heartbeat
from workers.fleet.sweeper import Sweeper
from workers.fleet.watch import BEAT_S, FleetWatch
from workers.fleet.watchdog import LoopWatchdog
from workers.metrics import Metrics
from workers.store.calls import CallRow, CallStore, StoredCall

_UNSERVED = "Twilio said that the call was over, and nobody served it any more"
_UNREACHABLE = "its worker was lost, and Twilio could not be asked to go on with it"


@asynccontextmanager
async def in_fleet(
    *,
    active: ActiveCalls,
    store: CallStore,
    records: RecordKeeper,
    metrics: Metrics,
    settings: TwilioSettings,
    hung_s: float,
    capacity: int | None = None,
    wall: Callable[[], float] = time.time,
    beat_s: float = BEAT_S,
) -> AsyncIterator[FleetWatch]:
    """Be one of the workers from enter to exit; what is seen of the others."""
    loop = asyncio.get_running_loop()

    def refused(call_sid: str, fence: int) -> None:
        # From the store's thread; on exit the loop may be gone.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(active.taken, call_sid, fence)

    store.on_refused = refused
    async with TwilioRest(settings) as rest:
        books = Books(store, records, metrics)
        sweeper = Sweeper(
            store,
            rest,
            document=partial(_document, settings),
            finalise=books.close,
            metrics=metrics,
        )
        heart = Heartbeat(
            store,
            active.worker,
            serving=lambda: active.serving,
            draining=lambda: active.draining,
            calls=lambda: active.live_streams,
            on_lost=active.taken,
            after=_after_look(sweeper, metrics),
            wall=wall,
            capacity=capacity,
            beat_s=beat_s,
        )
        dog = LoopWatchdog(hung_s, on_lag=metrics.loop_lag_s.observe)
        heart.start()
        dog.start()
        try:
            active.elsewhere = lambda: heart.watch.others_ready > 0
            yield heart.watch
        finally:
            dog.close()
            await sweeper.close()
            await heart.close()


class Books:
    """Closes the books of calls that ended while nobody served them.

    Args:
        store: Knows the calls.
        records: Keeps their records.
        metrics: Counts them.
    """

    def __init__(self, store: CallStore, records: RecordKeeper, metrics: Metrics) -> None:
        self._store = store
        self._records = records
        self._metrics = metrics

    async def close(self, call: StoredCall, lost: bool) -> None:
        """Note that a call is over, and keep its record as far as it was journalled.

        Args:
            call: The call.
            lost: Nobody could reach it any more; else Twilio said that it is over.

        Raises:
            StoreUnavailable: nothing was done.
        """
        row = call.row
        found = await self._store.recall(row.call_sid)
        # A number of its own: who may still remember the call does not count it a second time.
        fence = row.fence + 1
        self._store.save_call(replace(row, state=CallState.FINISHED.value, owner="", fence=fence))
        if found is None or found.record is None:
            return
        record = closed(found.record, _UNREACHABLE if lost else _UNSERVED)
        self._records.keep_later(record, fence=fence, final=True)
        self._metrics.call_ended(record)


def _document(settings: TwilioSettings, row: CallRow) -> str:
    return twiml.continue_call(settings, stream=row.streams)


def _after_look(sweeper: Sweeper, metrics: Metrics) -> Callable[[FleetWatch], None]:
    def after(watch: FleetWatch) -> None:
        metrics.fleet_seen(watch.states)
        sweeper.looked(watch)

    return after
