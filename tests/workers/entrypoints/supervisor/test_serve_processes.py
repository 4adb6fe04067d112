"""``evercall serve --processes 2``, as an operator starts it, against both twins."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.workers.entrypoints.supervisor.processes import Supervised, supervised
from tests.workers.entrypoints.twins import World, twins
from workers.entrypoints.supervisor.launch import children_environment
from workers.settings import load_settings

START_S = 60.0
MAIN = ["-c", "from workers.entrypoints.cli import main; main()"]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    async with twins(monkeypatch, tmp_path) as world:
        yield world


def serve(world: World, *words: str) -> list[str]:
    address = ["--host", "127.0.0.1", "--port", str(world.port)]
    return [*MAIN, "serve", "--agent", str(world.agent), *address, *words]


def processes(text: str, name: str) -> dict[str, float]:
    """A metric's value by process; the text must be one that Prometheus reads."""
    return {
        sample.labels["process"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


class Asking:
    """Somebody who asks on and on, each time on a new connection."""

    def __init__(self, url: str) -> None:
        self.answered = 0
        self.failed: list[Exception] = []
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(15)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            try:
                assert httpx.get(self._url, timeout=10).status_code == 200
                self.answered += 1
            # What the child that is killed had accepted is lost with it.
            except httpx.TransportError as error:
                self.failed.append(error)


async def test_killed_process_comes_back_while_the_other_serves(
    world: World, tmp_path: Path
) -> None:
    """Any process tells the metrics of both, whose places stay; nothing is left in the end."""
    await asyncio.to_thread(killed_process_comes_back, world, tmp_path)


def killed_process_comes_back(world: World, tmp_path: Path) -> None:
    url = world.public_url
    with supervised(tmp_path, serve(world, "--processes", "2")) as parent:
        parent.wait_ready(2, within_s=START_S)
        before = processes(httpx.get(f"{url}/metrics").text, "process_start_time_seconds")
        assert set(before) == {"0", "1"}
        victim = parent.log("supervisor.child_ready")[1]["pid"]
        secrets = {child.environ()["EVERCALL_TICKET_SECRET"] for child in parent.children()}
        assert len(secrets) == 1, "a ticket that one has signed is good for both"
        folder = runtime_folder(victim)
        assert folder.stat().st_mode & 0o777 == 0o700
        with Asking(f"{url}/readyz") as asking:
            os.kill(victim, signal.SIGKILL)
            parent.wait_ready(3, within_s=START_S)
            parent.wait(lambda: asking.answered > 20)
        assert len(asking.failed) <= 1
        after = processes(httpx.get(f"{url}/metrics").text, "process_start_time_seconds")
        assert set(after) == {"0", "1"}
        assert after["0"] == before["0"]
        assert after["1"] > before["1"]
        assert {record["process"] for record in parent.log("server.listening")} == {0, 1}
        show_memory(parent)
        children = parent.children()
        parent.process.terminate()
        assert parent.exited() == 0
        assert not any(child.is_running() for child in children)
        assert not folder.exists()
        assert parent.log("drain.done"), "they left in order"


async def test_nothing_is_left_of_a_killed_parent(world: World, tmp_path: Path) -> None:
    """Its children leave, and take its directory with them."""
    await asyncio.to_thread(nothing_is_left_of_a_killed_parent, world, tmp_path)


def nothing_is_left_of_a_killed_parent(world: World, tmp_path: Path) -> None:
    with supervised(tmp_path, serve(world, "--processes", "2")) as parent:
        parent.wait_ready(2, within_s=START_S)
        children = parent.children()
        folder = runtime_folder(children[0].pid)
        parent.process.kill()
        parent.exited()
        psutil.wait_procs(children, timeout=START_S)
        assert not any(child.is_running() for child in children)
        assert not folder.exists()


async def test_single_process_is_replaced_where_that_is_wanted(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on memory that is passed at the start is let go; SIGHUP replaces the process."""
    monkeypatch.setenv("EVERCALL_RECYCLE_MEMORY_MB", "10")
    await asyncio.to_thread(single_process_is_replaced, world, tmp_path)


def single_process_is_replaced(world: World, tmp_path: Path) -> None:
    with supervised(tmp_path, serve(world)) as parent:
        parent.wait_ready(1, within_s=START_S)
        parent.wait_logged("recycle.memory_limit_unusable", 1)
        with Asking(f"{world.public_url}/healthz") as asking:
            parent.process.send_signal(signal.SIGHUP)
            parent.wait_logged("supervisor.child_left", 1, within_s=START_S)
            parent.wait(lambda: asking.answered > 20)
        assert not asking.failed
        assert len(parent.log("supervisor.child_ready")) == 2
        parent.process.terminate()
        assert parent.exited() == 0


async def test_wrong_settings_are_said_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever only a whole worker finds out about them."""
    monkeypatch.delenv("GOOGLE_API_KEY")
    await asyncio.to_thread(wrong_settings_are_said_once, world, tmp_path)


def wrong_settings_are_said_once(world: World, tmp_path: Path) -> None:
    with supervised(tmp_path, serve(world, "--processes", "3")) as parent:
        assert parent.exited(within_s=START_S) == 2
        assert parent.text().count("GOOGLE_API_KEY") == 1


def test_taken_port_is_an_error(tmp_path: Path) -> None:
    """The parent finds out, before it starts anybody."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        address = ["--host", "127.0.0.1", "--port", str(port), "--agent", str(tmp_path)]
        with supervised(tmp_path, [*MAIN, "serve", *address, "--processes", "2"]) as parent:
            assert parent.exited() == 2
            assert "in use" in parent.text()


def test_ticket_secret_is_made_where_none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is set, in the environment or a file, is the children's to read."""
    monkeypatch.delenv("EVERCALL_TICKET_SECRET", raising=False)
    assert len(children_environment(load_settings(None))["EVERCALL_TICKET_SECRET"]) >= 16
    assert "EVERCALL_TICKET_SECRET" not in children_environment(
        load_settings(None, ticket_secret="from a file, at last")
    )


def runtime_folder(child: int) -> Path:
    """As its command line says."""
    (folder,) = (
        Path(word)
        for word in psutil.Process(child).cmdline()
        if Path(word).name.startswith("evercall-serve-")
    )
    return folder


def show_memory(parent: Supervised) -> None:
    """For who runs this by hand (-s)."""
    held = {
        "parent": psutil.Process(parent.process.pid).memory_info().rss,
        **{f"child {child.pid}": child.memory_info().rss for child in parent.children()},
    }
    print({name: f"{size / 2**20:.0f} MB" for name, size in held.items()})
