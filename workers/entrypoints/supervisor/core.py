"""What a parent does about its children: the table, without processes, signals or a clock.

Every place (0 to ``places`` - 1) is to have one child that serves. A child is ``starting`` until it
says that it is ready, ``ready`` while it serves, ``leaving`` once it was told to. A place whose
child died gets another, later and later where they die young. A child that is to be replaced
(because it asks for it, or the operator for all) serves on until its replacement at the same place
is ready; one place at a time, so that all places have a ready child throughout.

The first child starts alone: what is wrong with the settings is then said once, and whatever a
first start prepares (a database's tables) is prepared by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from workers.entrypoints.supervisor.events import (
    Begun,
    ChildExited,
    ChildReady,
    Command,
    Event,
    Finish,
    Hurry,
    Kill,
    Leave,
    Reason,
    RecycleWanted,
    ReportDeath,
    ReportLeft,
    ReportRecycling,
    ReportRestartGivenUp,
    RestartRequested,
    Spawn,
    StopRequested,
    TimePassed,
)

START_S: Final = 120.0
"""To be ready. An idle machine takes 4 s, mostly for imports (measured)."""
LEAVE_MARGIN_S: Final = 60.0
"""On top of the draining, to close sockets, recordings and the store, each bounded."""
YOUNG_S: Final = 60.0
"""A child that lived shorter died of something that the next one may die of as well."""
LONGEST_WAIT_S: Final = 30.0
EXIT_USAGE: Final = 2
"""What a child exits with where settings, the agent's file or the address are wrong."""


class ChildState(StrEnum):
    """Where a child is in its life."""

    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"


@dataclass(slots=True)
class _Child:
    number: int
    place: int
    since: float
    state: ChildState = ChildState.STARTING
    deadline: float | None = None
    """When it is killed."""
    told_at: float = 0.0


@dataclass(slots=True)
class _Place:
    early_deaths: int = 0
    """In a row."""
    not_before: float = 0.0
    """When its next child may be started."""

    def note_life(self, lived_s: float) -> None:
        self.early_deaths = self.early_deaths + 1 if lived_s < YOUNG_S else 0

    @property
    def wait_s(self) -> float:
        if self.early_deaths <= 1:
            return 0.0
        return min(LONGEST_WAIT_S, 2.0 ** (self.early_deaths - 2))


@dataclass(slots=True)
class Supervision:
    """The children of one parent. Times are monotonic seconds.

    Args:
        places: Children that serve at once.
        leave_s: How long one may take to leave, once told to.
        hurry_s: The same in a hurry.
    """

    places: int
    leave_s: float
    hurry_s: float = LEAVE_MARGIN_S
    _children: dict[int, _Child] = field(default_factory=dict)
    _places: list[_Place] = field(default_factory=list)
    _wishes: dict[int, Reason] = field(default_factory=dict)
    """Children to be replaced, in the order in which they are."""
    _replacing: int | None = None
    """The one whose turn it is, until it is gone."""
    _last: int = 0
    _ever_ready: bool = False
    _stops: int = 0
    _killed: bool = False
    """A child had to be killed while stopping."""
    _commands: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._places = [_Place() for _ in range(self.places)]

    def handle(self, event: Event, now: float) -> Sequence[Command]:
        """Take in what happened, and return what is to be done, in order."""
        self._commands = []
        match event:
            case Begun():
                pass
            case ChildReady() | ChildExited() | RecycleWanted():
                child = self._children[event.child]
                _TABLE[child.state, type(event)](self, child, event, now)
            case RestartRequested():
                for child in self._all(ChildState.READY):
                    self._wishes[child.number] = Reason.RESTART
            case StopRequested():
                self._stop(now)
            case TimePassed():
                self._kill_late(now)
        if not any(isinstance(command, Finish) for command in self._commands):
            self._settle(now)
        return self._commands

    @property
    def deadline(self) -> float | None:
        """When ``TimePassed`` is due."""
        times = [child.deadline for child in self._children.values() if child.deadline is not None]
        times += [self._places[place].not_before for place in self._wanting()]
        return min(times, default=None)

    def state(self, child: int) -> ChildState | None:
        """Where a child is in its life; None where it is gone."""
        known = self._children.get(child)
        return known.state if known else None

    # What the table leads to.

    def _ready(self, child: _Child, _event: Event, now: float) -> None:
        child.state, child.deadline = ChildState.READY, None
        self._ever_ready = True
        for other in self._all(ChildState.READY):
            if other.place == child.place and other is not child:
                self._wishes.pop(other.number, None)
                self._let_leave(other, now, replaced=True)

    def _died(self, child: _Child, event: Event, now: float) -> None:
        assert isinstance(event, ChildExited)
        del self._children[child.number]
        self._wishes.pop(child.number, None)
        if event.code == EXIT_USAGE and not self._ever_ready:
            # It has said what is wrong; the next would say the same.
            self._commands.append(Finish(EXIT_USAGE))
            return
        if self._replacing == child.number:
            # A replacement that starts already is now simply the next.
            self._replacing = None
        place = self._places[child.place]
        place.note_life(now - child.since)
        place.not_before = now + place.wait_s
        given_up = child.state is ChildState.STARTING and self._give_up_restart(child.place)
        restart_in_s = None if given_up else place.wait_s
        self._commands.append(ReportDeath(child.number, now - child.since, restart_in_s))
        if given_up:
            self._commands.append(ReportRestartGivenUp())

    def _wanted(self, child: _Child, event: Event, _now: float) -> None:
        assert isinstance(event, RecycleWanted)
        self._wishes.setdefault(child.number, event.reason)

    def _left(self, child: _Child, _event: Event, now: float) -> None:
        del self._children[child.number]
        if self._replacing == child.number:
            self._replacing = None
        if now - child.since >= YOUNG_S:
            self._places[child.place].early_deaths = 0
        self._commands.append(ReportLeft(child.number, now - child.told_at))

    def _ignore(self, _child: _Child, _event: Event, _now: float) -> None:
        """Said before it heard otherwise."""

    # What follows from it all.

    def _settle(self, now: float) -> None:
        if self._stops:
            if not self._children:
                self._commands.append(Finish(1 if self._killed else 0))
            return
        if self._replacing is None and self._wishes:
            self._replacing = next(iter(self._wishes))
            self._commands.append(ReportRecycling(self._replacing, self._wishes[self._replacing]))
        for place in list(self._wanting()):
            if self._places[place].not_before <= now:
                self._last += 1
                self._children[self._last] = _Child(
                    self._last, place, since=now, deadline=now + START_S
                )
                self._commands.append(Spawn(self._last, place))

    def _wanting(self) -> Iterator[int]:
        """Places that are to get a child."""
        if self._stops:
            return
        for place in range(self.places if self._ever_ready else 1):
            here = [child for child in self._children.values() if child.place == place]
            starting = any(child.state is ChildState.STARTING for child in here)
            serving = any(
                child.state is ChildState.READY and child.number != self._replacing
                for child in here
            )
            if not starting and not serving:
                yield place

    def _give_up_restart(self, place: int) -> bool:
        """Where the child that was to take this place in a restart of all failed, end that."""
        replaced = self._children.get(self._replacing or 0)
        if replaced is None or replaced.place != place or replaced.state is ChildState.LEAVING:
            return False
        if self._wishes.get(replaced.number) is not Reason.RESTART:
            return False
        self._wishes = {
            child: reason for child, reason in self._wishes.items() if reason is not Reason.RESTART
        }
        self._replacing = None
        return True

    def _stop(self, now: float) -> None:
        self._stops += 1
        if self._stops > 1:
            for child in self._children.values():
                child.deadline = now + self.hurry_s
                self._commands.append(Hurry(child.number))
            return
        for child in list(self._children.values()):
            if child.state is not ChildState.LEAVING:
                self._let_leave(child, now)

    def _let_leave(self, child: _Child, now: float, *, replaced: bool = False) -> None:
        child.state, child.told_at = ChildState.LEAVING, now
        child.deadline = now + self.leave_s
        self._commands.append(Leave(child.number, replaced))

    def _kill_late(self, now: float) -> None:
        for child in self._children.values():
            if child.deadline is not None and child.deadline <= now:
                child.deadline = None
                self._killed |= bool(self._stops)
                self._commands.append(Kill(child.number))

    def _all(self, state: ChildState) -> list[_Child]:
        return [child for child in self._children.values() if child.state is state]


_TABLE: Final[
    dict[
        tuple[ChildState, type[Event]],
        Callable[[Supervision, _Child, Event, float], None],
    ]
] = {
    (ChildState.STARTING, ChildReady): Supervision._ready,
    (ChildState.STARTING, ChildExited): Supervision._died,
    (ChildState.STARTING, RecycleWanted): Supervision._ignore,
    (ChildState.READY, ChildReady): Supervision._ignore,
    (ChildState.READY, ChildExited): Supervision._died,
    (ChildState.READY, RecycleWanted): Supervision._wanted,
    (ChildState.LEAVING, ChildReady): Supervision._ignore,
    (ChildState.LEAVING, ChildExited): Supervision._left,
    (ChildState.LEAVING, RecycleWanted): Supervision._ignore,
}
