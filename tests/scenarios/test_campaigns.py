"""A campaign whatever is killed: everybody called as often as was written down, and nobody else.

Real processes on real brokers and databases, killed at random (``kill -9``): Celery's workers, one
of their children, beat, the server, the broker, which comes back empty. The judge is the ledger of
the twin, which nobody kills. ``EVERCALL_TEST_CONTACTS`` and ``EVERCALL_TEST_KILLS`` make it larger:
the whole of it is 10,000 and 200.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from random import SystemRandom

import pytest

from tests.scenarios.campaigns.installation import Kind, installation, shown

KINDS = [Kind("sqlite", "embedded"), Kind("postgresql", "redis"), Kind("postgresql", "rabbitmq")]
CONTACTS = int(os.environ.get("EVERCALL_TEST_CONTACTS", "120"))
KILLS = int(os.environ.get("EVERCALL_TEST_KILLS", "10"))
SEED = int(os.environ.get("EVERCALL_TEST_SEED", "0")) or SystemRandom().randrange(1, 1 << 31)
_DIALS_PER_CONTACT = 1.1
"""A little fewer than there are, so that the last kill comes before the end."""
# For each contact, on a machine that has other things to do; and for the last retries.
_PATIENCE_S = 0.6
_TAIL_S = 180.0


async def run(kind: Kind, folder: Path, *, contacts: int, kills: int) -> None:
    """Run one campaign to its end, and judge it."""
    began = time.monotonic()
    print(f"\n{kind}: {contacts} contacts, {kills} kills, EVERCALL_TEST_SEED={SEED}", flush=True)
    async with installation(kind, folder, seed=SEED) as it:
        await asyncio.to_thread(it.fill, contacts)
        killer = it.killer(kills, contacts * _DIALS_PER_CONTACT / max(1, kills))
        async with asyncio.TaskGroup() as others:
            others.create_task(it.suppress_some(contacts // 20))
            killing = others.create_task(killer.run())
            try:
                await it.until_finished(_TAIL_S + contacts * _PATIENCE_S)
            except TimeoutError as error:
                error.add_note(f"killed: {shown(Counter(killer.killed))}")
                error.add_note(f"logged: {shown(it.logged())}")
                raise
            await killing
        violations = it.violations()
        rows = it.attempts()
        ledger = list(it.twilio.ledger)
        print(
            f"{kind}: {time.monotonic() - began:.0f} s, {len(ledger)} dials of {len(rows)} "
            f"attempts ({shown(Counter(row.state for row in rows))})\n"
            f"  contacts: {shown(it.contact_states())}\n"
            f"  calls: {shown(Counter(entry.status for entry in ledger))}\n"
            f"  killed: {shown(Counter(killer.killed))}\n"
            f"  logged: {shown(it.logged())}\n"
            f"  suppressed: {len(it.suppressed)}; violations: {len(violations)}",
            flush=True,
        )
        assert not violations, "\n".join(violations[:50])
        assert len(killer.killed) == kills


@pytest.mark.timeout(180)
async def test_small_campaign_survives_kills(tmp_path: Path) -> None:
    """Without any server: SQLite and the folder that is a broker."""
    contacts = int(os.environ.get("EVERCALL_TEST_SMALL_CONTACTS", "100"))
    kills = int(os.environ.get("EVERCALL_TEST_SMALL_KILLS", "6"))
    await run(KINDS[0], tmp_path, contacts=contacts, kills=kills)


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_campaign_survives_kills(kind: Kind, tmp_path: Path) -> None:
    """Every contact comes to an end, no attempt is dialled twice, none where it may not be."""
    await run(kind, tmp_path, contacts=CONTACTS, kills=KILLS)
