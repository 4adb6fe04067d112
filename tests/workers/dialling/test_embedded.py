"""The broker in a folder: what is put is got once, whatever is killed or broken in between."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.entity import Exchange, Queue

from workers.dialling import embedded


@pytest.fixture(autouse=True)
def _nothing_to_warn_of() -> Iterator[None]:
    """No file stays open, for one; what earlier tests have left is not held against these."""
    gc.collect()
    with warnings.catch_warnings(action="error"):
        yield


def connection(folder: Path) -> Any:
    embedded.register()
    return Connection(f"{embedded.SCHEME}://", transport_options={embedded.SCHEME: str(folder)})


def drained(queue: Any) -> list[object]:
    got: list[object] = []
    while True:
        try:
            message = queue.get(block=False)
        except Empty:
            return got
        message.ack()
        got.append(message.payload)


def test_what_is_put_is_got_in_order_and_once(tmp_path: Path) -> None:
    """Over two connections, as between beat and a worker."""
    with connection(tmp_path) as beat, connection(tmp_path) as worker:
        to, from_ = beat.SimpleQueue("campaigns"), worker.SimpleQueue("campaigns")
        for number in range(20):
            to.put(number)
        assert drained(from_) == list(range(20))
        assert drained(to) == []


def test_fanout_reaches_every_queue_bound_by_any_process(tmp_path: Path) -> None:
    """Remote control and Flower's events are such."""
    exchange = Exchange("all", type="fanout")
    with connection(tmp_path) as one, connection(tmp_path) as two:
        queues = [one.SimpleQueue(Queue(name, exchange)) for name in ("a", "b")]
        producer = two.Producer()
        producer.publish({"n": 1}, exchange=exchange, declare=[exchange])
        assert [drained(queue) for queue in queues] == [[{"n": 1}], [{"n": 1}]]


def test_broken_files_stop_nobody(tmp_path: Path) -> None:
    """Half a message, half a binding and half-written files are passed over."""
    with connection(tmp_path) as client:
        queue = client.SimpleQueue("campaigns")
        queue.put(1)
        (binding,) = tmp_path.glob(f"exchanges/*/*{embedded._BINDING}")
        binding.with_name(f"0{embedded._BINDING}").write_bytes(b"")
        (message,) = tmp_path.glob("queues/campaigns/*")
        message.with_name(f"0{embedded._MESSAGE}").write_bytes(message.read_bytes()[:20])
        message.with_name(f"0{embedded._PARTIAL}").write_bytes(b"{")
        queue.put(2)
        assert drained(queue) == [1, 2]


def test_a_queue_that_nobody_reads_stays_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its newest messages are dropped, and its old ones swept away."""
    monkeypatch.setattr(embedded, "MOST_WAITING", 5)
    with connection(tmp_path) as client:
        queue = client.SimpleQueue("campaigns")
        for number in range(9):
            queue.put(number)
        files = list(tmp_path.glob("queues/campaigns/*"))
        assert len(files) == 5
        for path in files[:4]:
            os.utime(path, (0, 0))
        monkeypatch.setattr(embedded, "SWEEP_S", 0.0)
        client.SimpleQueue("after").put(0)
        assert len(list(tmp_path.glob("queues/campaigns/*"))) == 1


_PUTTER = """
import sys
from tests.workers.dialling.test_embedded import connection
from pathlib import Path
with connection(Path(sys.argv[1])) as client:
    queue, number = client.SimpleQueue("campaigns"), 0
    while True:
        queue.put({"number": number, "padding": "x" * 100_000})
        number += 1
"""


def test_killed_writers_leave_nothing_that_cannot_be_read(tmp_path: Path) -> None:
    """Ten processes die in the midst of writing; every message that is there is whole."""
    with connection(tmp_path) as client:
        queue = client.SimpleQueue("campaigns")
        got = 0
        for _ in range(10):
            putter = subprocess.Popen([sys.executable, "-c", _PUTTER, str(tmp_path)])
            try:
                seen: list[object] = []
                deadline = time.monotonic() + 30
                while not seen and time.monotonic() < deadline:
                    seen = drained(queue)
            finally:
                putter.send_signal(signal.SIGKILL)
                putter.wait()
            assert seen
            rest = [*seen, *drained(queue)]
            numbers = [message["number"] for message in rest if isinstance(message, dict)]
            assert numbers == list(range(len(rest)))
            got += len(rest)
        assert got >= 10
