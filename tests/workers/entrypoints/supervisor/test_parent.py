"""Real processes: children come back, leave in order, and none of them is left over."""

from __future__ import annotations

import os
import pty
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.workers.entrypoints.supervisor.processes import Supervised, cheap


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Supervised]:
    """Two children that serve."""
    with cheap(tmp_path) as parent:
        parent.wait_ready(2)
        yield parent


def test_killed_child_is_started_again_while_others_answer(parent: Supervised) -> None:
    """The log says which, how, after how long, and when the next one comes."""
    place, pid = parent.ask()
    os.kill(pid, signal.SIGKILL)
    assert parent.ask()[1] != pid
    parent.wait_ready(3)
    (died,) = parent.log("supervisor.child_died")
    assert (died["pid"], died["process"], died["signal"]) == (pid, place, "SIGKILL")
    assert died["restart_in_s"] == 0
    assert died["lived_s"] < 20
    assert len(parent.children()) == 2
    assert (parent.folder / "vacant").read_text() == f"{place}\n"


def test_connection_that_nobody_has_accepted_waits_for_the_next_child(tmp_path: Path) -> None:
    """The parent holds the listening socket: no request is refused while there is no child."""
    with cheap(tmp_path, 1) as parent:
        parent.wait_ready(1)
        for _ in range(2):
            _, pid = parent.ask()
            os.kill(pid, signal.SIGKILL)
            assert parent.ask()[1] != pid, "the second one begins a second later"


def test_sigterm_lets_all_leave(parent: Supervised) -> None:
    """Each is told once; the parent goes with the last."""
    parent.process.terminate()
    assert parent.exited() == 0
    assert parent.noted() == ["0 leave", "1 leave"]
    assert parent.log("supervisor.stopping")[0]["children"] == 2
    assert len(parent.log("supervisor.child_left")) == 2


def test_ctrl_c_reaches_children_by_their_parent_alone(parent: Supervised) -> None:
    """A terminal signals the whole process group; twice would be a hurry."""
    os.killpg(parent.process.pid, signal.SIGINT)
    assert parent.exited() == 0
    assert parent.noted() == ["0 leave", "1 leave"]


def test_second_sigterm_hurries(parent: Supervised) -> None:
    """The operator is not made to wait for calls."""
    (parent.folder / "deaf").touch()
    parent.process.terminate()
    parent.wait(lambda: parent.noted() == ["0 leave", "1 leave"])
    (parent.folder / "deaf").unlink()
    parent.process.terminate()
    assert parent.exited() == 0
    assert parent.noted() == ["0 hurry", "0 leave", "1 hurry", "1 leave"]


def test_child_that_does_not_leave_is_killed(tmp_path: Path) -> None:
    """The exit code tells that not all was in order."""
    with cheap(tmp_path, leave_s=0.5) as parent:
        parent.wait_ready(2)
        (tmp_path / "deaf").touch()
        children = parent.children()
        parent.process.terminate()
        assert parent.exited() == 1
        assert not any(child.is_running() for child in children)
        assert len(parent.log("supervisor.child_killed")) == 2


def test_children_of_a_killed_parent_leave(parent: Supervised) -> None:
    """They notice by themselves: nobody is there to tell them."""
    children = parent.children()
    parent.process.kill()
    parent.exited()
    _, alive = psutil.wait_procs(children, 10)
    assert not alive
    assert parent.noted() == ["0 orphaned", "1 orphaned"]


def test_sighup_replaces_all_without_refusing_anybody(parent: Supervised) -> None:
    """Every request made meanwhile is answered, and there are never fewer than two children."""
    before = {child.pid for child in parent.children()}
    stop, answers = threading.Event(), []

    def ask_on() -> None:
        while not stop.is_set():
            answers.append(parent.ask())

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        parent.process.send_signal(signal.SIGHUP)
        parent.wait_logged("supervisor.child_left", 2)
    finally:
        stop.set()
        asking.join(15)
    assert {child.pid for child in parent.children()}.isdisjoint(before)
    assert len(answers) > 10
    happened = [
        (record["event"].removeprefix("supervisor."), record["process"])
        for record in parent.log()
        if "process" in record
    ]
    assert happened[2:] == [
        step
        for place in (0, 1)
        for step in (("recycling", place), ("child_ready", place), ("child_left", place))
    ]
    assert not (parent.folder / "vacant").exists(), "a replacement serves there"


def test_child_that_asks_for_it_is_replaced(parent: Supervised) -> None:
    """At its own place; the other one is left alone."""
    before = {child.pid for child in parent.children()}
    (parent.folder / "recycle-1").touch()
    parent.wait_logged("supervisor.child_left", 1)
    (recycled,) = parent.log("supervisor.recycling")
    assert (recycled["process"], recycled["reason"]) == (1, "memory")
    assert parent.noted() == ["1 leave replaced"]
    assert len({child.pid for child in parent.children()} & before) == 1


def test_wrong_settings_are_said_once(tmp_path: Path) -> None:
    """However many children there were to be."""
    (tmp_path / "wrong").touch()
    with cheap(tmp_path, 4) as parent:
        assert parent.exited() == 2
        assert parent.text().count("EVERCALL_SOMETHING: is not set") == 1


def test_restart_with_wrong_settings_changes_nothing(parent: Supervised) -> None:
    """The children that serve go on; the log says why nothing happened."""
    before = {child.pid for child in parent.children()}
    (parent.folder / "wrong").touch()
    parent.process.send_signal(signal.SIGHUP)
    parent.wait_logged("supervisor.restart_given_up", 1)
    assert parent.log("supervisor.child_died")[0]["code"] == 2
    assert {child.pid for child in parent.children()} == before
    parent.ask()


def test_child_that_dies_again_and_again_is_not_started_in_a_circle(parent: Supervised) -> None:
    """The processor belongs to the others' calls."""
    for deaths in range(1, 5):
        parent.wait_ready(1 + deaths)
        os.kill(parent.log("supervisor.child_ready")[-1]["pid"], signal.SIGKILL)
        parent.wait_logged("supervisor.child_died", deaths)
    waits = [record["restart_in_s"] for record in parent.log("supervisor.child_died")]
    assert waits == [0, 1, 2, 4]
    # It does not wait for a child that is yet to be started.
    parent.process.terminate()
    assert parent.exited(within_s=3) == 0


def test_closed_terminal_ends_it(tmp_path: Path) -> None:
    """Which also sends SIGHUP; nobody asks for a restart by closing a window."""
    ours, theirs = pty.openpty()
    with cheap(tmp_path, 1, terminal=theirs) as parent:
        os.close(theirs)
        parent.wait_ready(1)
        os.close(ours)
        assert parent.exited() == 0
