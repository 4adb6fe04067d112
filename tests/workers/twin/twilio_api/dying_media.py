"""A media server in a process of its own, to be killed or stopped; prints its port."""

from __future__ import annotations

import asyncio

from tests.workers.twin.twilio_api.raw_media import RawMediaServer


async def main() -> None:
    """Serve until somebody ends the process."""
    async with RawMediaServer(speech_ms=400) as media:
        print(media.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
