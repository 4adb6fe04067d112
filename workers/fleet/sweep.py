"""What is to be done about calls that nobody serves: those of dead workers, and those left behind.

A call of a dead worker is *taken* from it in the store, after which nothing that it may still write
counts, and *steered* by REST to ``/voice/continue``, which tears the old stream down. Where that
fails it is tried again, but never blindly: Twilio may have asked by itself, or have done what it
did not answer, and a second redirect would tear down the stream of the worker that goes on. So the
store is *looked* at first, whether the call is still as it was.

A call whose owner is nobody, or nobody on the list, is between two streams, in a transfer, or was
left behind. After a minute in which nothing was written of it Twilio is *asked*. One that is over
has its books *closed*; one that goes on in a transfer is left to it, any other is steered, once for
each fencing number.

TAKE ── taken ──> STEER ── done ──> (steered)
                  │    ▲
                  │    └─ as it was ── LOOK ── changed ──> (came back)
                  ├─ failed, later ─────▲
                  └─ over, or too late ──> FINALISE ──> (over, lost)
ASK ── over ──> FINALISE;  in progress ──> STEER (TAKE, where it has an owner), or ASK later
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from workers.store.calls import CallRow, StoredCall

AT_ONCE = 5
"""Twilio bounds the REST requests under way, at a number of each account's that it tells nobody
(error 20429; twilio.md 4.5)."""
RETRY_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
DOUBT_S = 4.0
"""Before a request that may have been carried out is repeated: the stream it led to has been
claimed by then."""
GIVE_UP_S = 180.0
"""After the first attempt; whoever was left in silence so long has hung up."""
ASK_AGAIN_S = (60.0, 120.0, 300.0, 600.0)
"""A call that goes on without us, in a transfer for hours, is not asked after all the time."""
STEERED_KEPT = 10_000

# ``CallState`` of workers.call.
TRANSFER = "transfer"


class Act(StrEnum):
    """What is to be done about a call."""

    TAKE = "take"
    LOOK = "look"
    STEER = "steer"
    ASK = "ask"
    FINALISE = "finalise"


class Answer(StrEnum):
    """What came of it."""

    DONE = "done"
    """It was done: it is ours now, is as it was, was redirected, is in progress, is closed."""
    GONE = "gone"
    """It is not ours, has changed meanwhile, or is neither in progress nor over."""
    OVER = "over"
    """Twilio says that it is over."""
    FAILED = "failed"
    """It was not done."""
    DOUBT = "doubt"
    """It may have been done."""


class Outcome(StrEnum):
    """What became of a call in the end."""

    STEERED = "steered"
    CAME_BACK = "came_back"
    """Another worker had gone on with it before it was steered (again)."""
    OVER = "over"
    LOST = "lost"
    """It could not be steered within ``GIVE_UP_S``."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be done about one call."""

    act: Act
    call: StoredCall
    lost: bool = False
    """With ``FINALISE``: nobody knows whether it is over."""
    again: bool = False
    """It was tried before, and that may have been done."""


@dataclass(slots=True)
class _Job:
    call: StoredCall
    act: Act
    due_at: float
    running: bool = False
    tries: int = 0
    asked: int = 0
    began_at: float | None = None
    """When it was first tried to steer it."""
    lost: bool = False


class Sweep:
    """The calls under care, and what is to be done about each."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._leaving = False
        # Which calls without an owner were steered, under which number; the oldest are forgotten.
        self._steered: OrderedDict[str, int] = OrderedDict()
        # What was ended since the store was last asked: its answer may be older than that.
        self._ended: set[str] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def asking(self) -> None:
        """The store is about to be asked which calls nobody serves."""
        self._ended.clear()

    def found(
        self, calls: Sequence[StoredCall], dead: Collection[str], now: float, *, all_: bool = True
    ) -> frozenset[str]:
        """Take in the answer, and return the dead workers that have no calls any more.

        Args:
            calls: What nobody serves.
            dead: Workers that are.
            now: Monotonic seconds.
            all_: There are no more than these.
        """
        for call in calls:
            sid, of_dead = call.row.call_sid, call.row.owner in dead
            job = self._jobs.get(sid)
            if sid in self._ended or (job is not None and job.running) or self._leaving:
                continue
            # An answer may be older than what was taken meanwhile.
            if of_dead and (job is None or job.call.row.fence < call.row.fence):
                self._jobs[sid] = _Job(call, Act.TAKE, now)
            elif job is None:
                self._jobs[sid] = _Job(call, Act.ASK, now)
            elif job.act is Act.ASK:
                job.call = call
        if not all_:
            return frozenset()
        listed = {call.row.call_sid for call in calls}
        for sid, job in list(self._jobs.items()):
            if job.act is Act.ASK and not job.running and sid not in listed:
                del self._jobs[sid]
        return frozenset(dead) - {call.row.owner for call in calls}

    def steps(self, now: float) -> list[Step]:
        """What is to be begun now; each is answered by ``done``. Never more than ``AT_ONCE``."""
        room = AT_ONCE - sum(job.running for job in self._jobs.values())
        due = [job for job in self._jobs.values() if not job.running and job.due_at <= now]
        # Callers who hear nothing come before those who may be in a transfer.
        due.sort(key=lambda job: (job.act is Act.ASK, job.due_at))
        chosen = due[: max(0, room)]
        for job in chosen:
            job.running = True
        return [Step(job.act, job.call, job.lost, job.tries > 0) for job in chosen]

    def done(
        self, call_sid: str, answer: Answer, now: float, *, row: CallRow | None = None
    ) -> Outcome | None:
        """Take in what came of a step; returns what became of the call, where that was the end.

        ``row``: the call as it is since it was taken.
        """
        job = self._jobs[call_sid]
        job.running = False
        if row is not None:
            job.call = replace(job.call, row=row)
        match job.act:
            case Act.TAKE:
                self._taken(job, answer, now)
            case Act.LOOK:
                return self._looked(job, answer, now)
            case Act.STEER:
                return self._steering(job, answer, now)
            case Act.ASK:
                self._asked(job, answer, now)
            case Act.FINALISE:
                return self._closed(job, answer, now)
        return None

    def leave(self) -> None:
        """Begin nothing new: what has been taken is steered, everything else is let go."""
        self._leaving = True
        for sid, job in list(self._jobs.items()):
            if job.act in (Act.TAKE, Act.ASK) and not job.running:
                del self._jobs[sid]

    def _taken(self, job: _Job, answer: Answer, now: float) -> None:
        if answer is Answer.DONE:
            job.tries = 0
            self._next(job, Act.STEER, now)
        elif answer is Answer.GONE or self._leaving:
            self._end(job)
        else:
            self._later(job, Act.TAKE, now)

    def _looked(self, job: _Job, answer: Answer, now: float) -> Outcome | None:
        match answer:
            case Answer.DONE:
                self._next(job, Act.STEER, now)
            case Answer.OVER:
                self._next(job, Act.FINALISE, now)
            case Answer.GONE:
                self._end(job)
                return Outcome.CAME_BACK
            case _:
                self._later(job, Act.LOOK, now)
        return None

    def _steering(self, job: _Job, answer: Answer, now: float) -> Outcome | None:
        if job.began_at is None:
            job.began_at = now
        match answer:
            case Answer.DONE:
                self._note_steered(job.call.row)
                self._end(job)
                return Outcome.STEERED
            case Answer.OVER:
                self._next(job, Act.FINALISE, now)
            case _ if now - job.began_at >= GIVE_UP_S:
                job.lost = True
                self._next(job, Act.FINALISE, now)
            case _:
                self._later(job, Act.LOOK, now, doubt=answer is Answer.DOUBT)
        return None

    def _asked(self, job: _Job, answer: Answer, now: float) -> None:
        row = job.call.row
        if answer is Answer.OVER:
            self._next(job, Act.FINALISE, now)
        elif (
            answer is Answer.DONE
            and row.state != TRANSFER
            and self._steered.get(row.call_sid) != row.fence
        ):
            self._next(job, Act.TAKE if row.owner else Act.STEER, now)
        else:
            job.due_at = now + ASK_AGAIN_S[min(job.asked, len(ASK_AGAIN_S) - 1)]
            job.asked += 1
        if self._leaving and job.act is Act.ASK:
            self._end(job)

    def _closed(self, job: _Job, answer: Answer, now: float) -> Outcome | None:
        if answer is Answer.DONE:
            self._end(job)
            return Outcome.LOST if job.lost else Outcome.OVER
        self._later(job, Act.FINALISE, now)
        return None

    def _next(self, job: _Job, act: Act, now: float) -> None:
        if act is Act.FINALISE:
            job.tries = 0
        job.act = act
        job.due_at = now

    def _later(self, job: _Job, act: Act, now: float, *, doubt: bool = False) -> None:
        pause_s = RETRY_S[min(job.tries, len(RETRY_S) - 1)]
        job.tries += 1
        job.act = act
        job.due_at = now + (max(pause_s, DOUBT_S) if doubt else pause_s)

    def _end(self, job: _Job) -> None:
        sid = job.call.row.call_sid
        del self._jobs[sid]
        self._ended.add(sid)

    def _note_steered(self, row: CallRow) -> None:
        self._steered.pop(row.call_sid, None)
        self._steered[row.call_sid] = row.fence
        while len(self._steered) > STEERED_KEPT:
            self._steered.popitem(last=False)
