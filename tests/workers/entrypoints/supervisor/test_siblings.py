"""Any process tells the metrics of all, whatever state the others are in."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from workers.entrypoints.supervisor import siblings as module
from workers.entrypoints.supervisor.siblings import Siblings


def exposition(value: float) -> bytes:
    return f"# HELP a A.\n# TYPE a gauge\na {value}\n".encode()


def telling(value: float) -> Callable[[], bytes]:
    return lambda: exposition(value)


async def seen(asked: Siblings, value: float, *, name: str = "a") -> dict[str, float]:
    """Samples of one metric, by process."""
    text = await asked.gather(exposition(value))
    return {
        sample.labels["process"]: sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name
    }


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_any_process_tells_of_all(tmp_path: Path, stack: AsyncExitStack) -> None:
    """Whichever one the request happens to reach."""
    processes = [Siblings(tmp_path, place) for place in range(3)]
    for place, process in enumerate(processes):
        await stack.enter_async_context(process.answering(telling(place)))
    for place, process in enumerate(processes):
        assert await seen(process, place) == {"0": 0.0, "1": 1.0, "2": 2.0}


async def test_process_that_hangs_is_left_out_and_counted(
    tmp_path: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not hold up what the others have to tell."""
    monkeypatch.setattr(module, "ANSWER_S", 0.2)
    asked = Siblings(tmp_path, 0)
    await stack.enter_async_context(asked.answering(telling(0)))
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / "1.sock"))
        hung.listen()
        async with asyncio.timeout(2):
            assert await seen(asked, 0) == {"0": 0.0}
    missed = await seen(asked, 0, name="evercall_scrape_missed_total")
    assert missed == {"0": 2.0}, "once hung, once dead"


async def test_process_that_dies_in_the_middle_of_its_answer_is_left_out(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    """Half a text would be a wrong one."""
    asked = Siblings(tmp_path, 0)
    await stack.enter_async_context(asked.answering(telling(0)))

    async def half(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(exposition(1)[:-2])
        writer.close()

    await stack.enter_async_context(await asyncio.start_unix_server(half, tmp_path / "1.sock"))
    assert await seen(asked, 0) == {"0": 0.0}


async def test_one_that_leaves_is_told_of_beside_its_replacement(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    """Calls still end in it; the replacement has its place and goes on with its series."""
    other = Siblings(tmp_path, 1)
    await stack.enter_async_context(other.answering(telling(1)))
    old, new = Siblings(tmp_path, 0), Siblings(tmp_path, 0)
    async with old.answering(telling(7)):
        await stack.enter_async_context(new.answering(telling(0)))
        assert await seen(other, 1) == {"0": 0.0, "0-leaving": 7.0, "1": 1.0}
        assert await seen(new, 0) == {"0": 0.0, "0-leaving": 7.0, "1": 1.0}
    assert await seen(other, 1) == {"0": 0.0, "1": 1.0}
    assert await seen(other, 1, name="evercall_scrape_missed_total") == {"0": 0.0, "1": 0.0}


async def test_restarted_one_takes_the_place_of_the_dead(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    """What a killed process left behind is no reason to miss it for ever."""
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "0.sock"))
    again, other = Siblings(tmp_path, 0), Siblings(tmp_path, 1)
    await stack.enter_async_context(again.answering(telling(0)))
    await stack.enter_async_context(other.answering(telling(1)))
    assert await seen(other, 1) == {"0": 0.0, "1": 1.0}
    assert await seen(other, 1, name="evercall_scrape_missed_total") == {"0": 0.0, "1": 0.0}


async def test_many_requests_ask_the_others_once(tmp_path: Path, stack: AsyncExitStack) -> None:
    """Strangers can ask as well; what they ask is not multiplied by the processes."""
    asks = 0

    def counted() -> bytes:
        nonlocal asks
        asks += 1
        return exposition(1)

    asked = Siblings(tmp_path, 0)
    await stack.enter_async_context(asked.answering(telling(0)))
    await stack.enter_async_context(Siblings(tmp_path, 1).answering(counted))
    answers = await asyncio.gather(*(asked.gather(exposition(0)) for _ in range(20)))
    assert asks == 1
    assert len(set(answers)) == 1


async def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    """The parent removes the folder; what is gone in order leaves nothing that answers nobody."""
    async with Siblings(tmp_path, 0).answering(telling(0)):
        assert os.listdir(tmp_path) == ["0.sock"]  # noqa: PTH208  no path is wanted
    assert os.listdir(tmp_path) == []  # noqa: PTH208
