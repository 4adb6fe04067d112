"""Both far ends of N calls in one process, so that one clock times a probe at both ends.

Driven by JSON lines on standard input, one answer per line on standard output:

    {"do": "listen", "certificate": FILE, "key": FILE}   -> {"port": 1234}
    {"do": "line", ...}                                  the bot under test, see far_caller.Line
    {"do": "ring", "calls": 10}                          ten more calls, one after the other
    {"do": "talk", "seconds": 20}                        everybody talks: audio carried, own slip
    {"do": "probe", "seconds": 20}                       every fourth call is probed: delays
    {"do": "hang_up"}

All audio hangs on one timer chain of 1 ms slots. Each direction of each call has its own slot of
the 20, as calls of real life do: aligned calls would make the fortieth wait for the others.
"""

import asyncio
import json
import ssl
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import uvloop

from tests.benchmarks import signals
from tests.benchmarks.far_caller import Call, Caller, Line, ring
from tests.benchmarks.far_model import Model
from tests.benchmarks.probes import Ear

_SLOTS = signals.FRAME_MS
_SLOT_S = 0.001
_GOLDEN = 0.618034  # multiples of it spread evenly over the slots, however many there are
_PROBE_EVERY = 4  # of four calls three keep talking, so that delays are those of a busy bot
_SETTLE_S = 1.0  # from talk to silence and the other way: what is under way gets out first


class FarEnd:
    """All calls, the timer that drives them, and what they counted."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: list[Call] = []
        self._callers: list[Caller] = []
        self._models: list[Model] = []
        self._slots: list[list[Caller | Model]] = [[] for _ in range(_SLOTS)]
        self._streams: list[Caller | Model] = []
        self._slips_ms: list[float] = []
        self._awaited: asyncio.Future[None] | None = None
        self._line: Line | None = None
        self._slot = 0
        self._due = time.monotonic()
        self._loop.call_soon(self._fire)

    async def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command and return its answer."""
        match command.pop("do"):
            case "listen":
                return await self._listen(**command)
            case "line":
                self._line = Line(**command)
                return {}
            case "ring":
                return await self._ring(**command)
            case "talk":
                return await self._window(**command)
            case "probe":
                return await self._probe(**command)
            case "hang_up":
                return await self._hang_up()
            case other:
                raise ValueError(f"unknown command {other}")

    async def _listen(self, certificate: str, key: str) -> dict[str, Any]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = await self._loop.create_server(
            lambda: Model(self._model_ready), "127.0.0.1", 0, ssl=context
        )
        return {"port": server.sockets[0].getsockname()[1]}

    async def _ring(self, calls: int) -> dict[str, Any]:
        """Place calls; each must have its session before the next, which tells whose it is."""
        assert self._line is not None
        async with httpx.AsyncClient(timeout=15) as http:
            for _ in range(calls):
                call = Call(sid=f"CA{uuid.uuid4().hex}", phase=len(self._calls) * 7 % 50)
                self._calls.append(call)
                self._awaited = self._loop.create_future()
                caller = await ring(self._line, call, http)
                self._callers.append(caller)
                self._join(caller)
                async with asyncio.timeout(15):
                    await self._awaited
        return {"calls": len(self._calls)}

    def _model_ready(self, model: Model) -> Call:
        assert self._awaited is not None, "a session nobody called for"
        self._awaited.set_result(None)
        self._models.append(model)
        self._join(model)
        return self._calls[-1]

    def _join(self, stream: Caller | Model) -> None:
        self._slots[int(_SLOTS * (len(self._streams) * _GOLDEN % 1))].append(stream)
        self._streams.append(stream)

    async def _window(self, seconds: float) -> dict[str, Any]:
        self._slips_ms = []
        start = time.monotonic()
        before = self._carried()
        await asyncio.sleep(seconds)
        said, at_model, spoken, at_caller = (
            now - then for now, then in zip(self._carried(), before, strict=True)
        )
        return {
            "seconds": time.monotonic() - start,
            "calls": len(self._calls),
            "lost": sum(stream.lost for stream in self._streams),
            "carried_up": at_model / said,
            "carried_down": at_caller / spoken,
            "slip_ms": _spread(self._slips_ms),
        }

    def _carried(self) -> tuple[float, float, float, float]:
        """Seconds of audio so far: offered and heard upwards, offered and heard downwards."""
        return (
            sum(caller.offered_s for caller in self._callers),
            sum(model.heard_s for model in self._models),
            sum(model.offered_s for model in self._models),
            sum(caller.heard_s for caller in self._callers),
        )

    async def _probe(self, seconds: float) -> dict[str, Any]:
        probed = self._calls[::_PROBE_EVERY]
        streams: list[Caller | Model] = [*self._callers[::_PROBE_EVERY]]
        streams += self._models[::_PROBE_EVERY]
        for stream in streams:
            stream.probing = True
        await asyncio.sleep(_SETTLE_S)
        for call in probed:
            call.up, call.down = Ear(), Ear()
        answer = await self._window(seconds)
        answer["up"] = _delays([call.up for call in probed])
        answer["down"] = _delays([call.down for call in probed])
        for stream in streams:
            stream.probing = False
        await asyncio.sleep(_SETTLE_S)
        return answer

    async def _hang_up(self) -> dict[str, Any]:
        callers = self._callers
        self._calls, self._callers, self._models, self._streams = [], [], [], []
        self._slots = [[] for _ in range(_SLOTS)]
        for caller in callers:
            caller.hang_up()
        await asyncio.sleep(_SETTLE_S)
        return {"open": sum(not caller.lost for caller in callers)}

    def _fire(self) -> None:
        """Run every slot that is due, then sleep until the next."""
        while (now := time.monotonic()) >= self._due:
            self._slips_ms.append((now - self._due) * 1000)
            for stream in self._slots[self._slot]:
                if not stream.lost:
                    stream.tick()
            self._slot = (self._slot + 1) % _SLOTS
            self._due += _SLOT_S
        self._loop.call_later(self._due - now, self._fire)


def _delays(ears: list[Ear]) -> dict[str, Any]:
    delays = [delay for ear in ears for delay in ear.delays]
    return {
        "probes": len(delays),
        "wrong": sum(ear.wrong for ear in ears),
        "frame_ms": _spread([delay.frame_ms for delay in delays]),
        "onset_ms": _spread([delay.onset_ms for delay in delays]),
    }


def _spread(values: list[float]) -> dict[str, float]:
    """p50, p95 and max; zeros for no values at all."""
    ordered = sorted(values) or [0.0]
    return {
        "p50": ordered[len(ordered) // 2],
        "p95": ordered[int(len(ordered) * 0.95)],
        "max": ordered[-1],
    }


async def serve(make: Callable[[], FarEnd] = FarEnd) -> None:
    """Do what standard input asks for, with the far end that ``make`` makes."""
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    far_end = make()
    while line := await commands.readline():
        try:
            answer = await far_end.do(json.loads(line))
        except Exception as error:  # noqa: BLE001  the harness on the other side decides
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(serve())
