"""Kills, stops, late questions and lost streams in any order: never two voices in one call."""

from __future__ import annotations

import asyncio
import os
import random

from tests.fakes import virtual_loop
from tests.properties.fleet_world import Phone, World, revived, two_voices

SEED = int(os.environ.get("FLEET_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
SCHEDULES = 1_000
CALLS = 2
HARM_S = 25.0
# A worker that hangs is dead after 4 to 6 s; then a call is taken, steered, asked about, claimed.
HEALS_S = 20.0


async def _live_through(number: int) -> list[Phone]:
    rng = random.Random(SEED * 10_000 + number)
    world = World(rng)
    await asyncio.sleep(2)
    for _ in range(CALLS):
        world.ring()
    loop = asyncio.get_running_loop()
    until = loop.time() + HARM_S
    while loop.time() < until:
        await asyncio.sleep(rng.expovariate(0.8))
        worker = rng.choice(world.living)
        phone = rng.choice(world.phones)
        match rng.choice(("kill", "stop", "stop", "leave", "ask", "ask", "drop", "redirect")):
            case "kill" if len(world.living) > 1:
                worker.kill()
                world.start_worker()
            case "stop" if worker.answers:
                worker.stop()
                loop.call_later(rng.choice((0.3, 2.0, 9.0)), worker.cont)
            case "leave" if len(world.living) > 1 and not worker.active.draining:
                world.start_worker()
                worker.spawn(worker.leave(rng.choice((1.0, 10.0))))
            case "ask":
                world.spawn(world.ask_again(phone))
            case "drop" if phone.streams and phone.streams[-1].open:
                phone.streams[-1].close()
            case "redirect":
                phone.redirect.set()
    await asyncio.sleep(HEALS_S)
    for phone in world.phones:
        _check(phone, loop.time(), number)
        # Over: their tasks end.
        phone.over = True
        phone.redirect.set()
    await asyncio.sleep(1)
    for worker in world.workers:
        worker.kill()
    return world.phones


def _check(phone: Phone, now: float, number: int) -> None:
    where = f"schedule {number}, seed {SEED}, {phone.sid}"
    assert not two_voices(phone), f"{where}: {two_voices(phone)}"
    assert not revived(phone), f"{where}: spoken to after the agent had hung up"
    if not phone.over:
        silent_s = now - phone.words[-1][0] if phone.words else float("inf")
        assert silent_s < 5, f"{where}: nobody has spoken for {silent_s:.1f} s"


def test_no_call_is_spoken_to_by_two_workers() -> None:
    """In a thousand schedules; and a call that is not over is spoken to again soon after."""
    print(f"FLEET_SEED={SEED}")
    streams = ended = 0
    for number in range(SCHEDULES):
        phones = virtual_loop.run(_live_through(number))
        streams += sum(len(phone.streams) for phone in phones)
        ended += sum(phone.finished is not None for phone in phones)
    # Else the schedules would prove nothing.
    assert streams > 3 * SCHEDULES * CALLS
    print(f"{streams} streams, {ended} calls finished by the agent")
