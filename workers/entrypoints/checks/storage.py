"""Where calls are kept: the database and the data folder."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from workers.entrypoints.checks.finding import Finding, fail, ok, warn
from workers.store.calls import StoreUnavailable
from workers.store.probe import probe_database

MIB = 1024 * 1024
# A recorded hour of a call is 115 MB: two channels of PCM16 at 8 kHz.
WARN_FREE_BYTES = 1024 * MIB
FAIL_FREE_BYTES = 64 * MIB


async def check_database(url: str) -> list[Finding]:
    """Rows can be written and read back."""
    mend = "mend EVERCALL_DATABASE_URL, the database's rights, or start the database"
    try:
        kind = await asyncio.to_thread(probe_database, url)
    except StoreUnavailable as error:
        return [fail(str(error), mend)]
    return [ok(f"{kind}: written and read back")]


async def check_folder(data_dir: Path) -> list[Finding]:
    """Files can be written, and there is room for more."""
    return await asyncio.to_thread(_check_folder, data_dir)


def _check_folder(data_dir: Path) -> list[Finding]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir) as file:
            file.write(b"\0")
            file.flush()
        free = shutil.disk_usage(data_dir).free
    except OSError as error:
        text = f"{data_dir} cannot be written: {error.strerror or error}"
        return [fail(text, "mend EVERCALL_DATA_DIR, or the folder's rights")]
    return [judge_space(data_dir, free)]


def judge_space(data_dir: Path, free_bytes: int) -> Finding:
    """Whether so much is enough."""
    text = f"{data_dir} can be written, {free_bytes / (1024 * MIB):.1f} GiB are free"
    mend = "make room, or move EVERCALL_DATA_DIR to a larger disk"
    if free_bytes < FAIL_FREE_BYTES:
        return fail(text, mend)
    if free_bytes < WARN_FREE_BYTES:
        return warn(text, mend)
    return ok(text)
