"""A real parent whose children are cheap: they start in no time, and answer with place and pid.

``cheap.py FOLDER PLACES LEAVE_S`` is the parent, ``cheap.py FOLDER PLACE LISTENER LINK child`` one
of its children. What children do is written in files of the folder, which they look for.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sys
import termios
from pathlib import Path


def parent(folder: Path, places: int, leave_s: float) -> int:
    from workers.entrypoints.listener import listen
    from workers.entrypoints.supervisor.core import Supervision
    from workers.entrypoints.supervisor.parent import Parent
    from workers.logs import start_logs

    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    logs = start_logs("INFO", console=False)
    listener = listen("127.0.0.1", 0)
    (folder / "port.new").write_text(str(listener.getsockname()[1]))
    (folder / "port.new").rename(folder / "port")

    def command(place: int, link: int) -> list[str]:
        words = [str(folder), str(place), str(listener.fileno()), str(link), "child"]
        return [sys.executable, __file__, *words]

    def vacant(place: int) -> None:
        with (folder / "vacant").open("a") as places:
            places.write(f"{place}\n")

    supervision = Supervision(places, leave_s=leave_s, hurry_s=leave_s)
    try:
        return Parent(
            supervision,
            command,
            listener=listener,
            environment=os.environ,
            on_vacant=vacant,
        ).run()
    finally:
        logs.close()


class Child:
    def __init__(self, folder: Path, place: int, listener: int, link: int) -> None:
        self.folder, self.place = folder, place
        self.listener = socket.socket(fileno=listener)
        self.listener.setblocking(False)
        self.link = socket.socket(fileno=link)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: self.note(signal.Signals(number).name))

    def run(self) -> int:
        if (self.folder / "wrong").exists():
            sys.stderr.write("EVERCALL_SOMETHING: is not set\n")
            return 2
        self.link.sendall(b"ready\n")
        while True:
            for ready in select.select([self.listener, self.link], [], [], 0.05)[0]:
                if ready is self.listener:
                    self.answer()
                elif self.told():
                    return 0
            wish = self.folder / f"recycle-{self.place}"
            if wish.exists():
                wish.unlink()
                self.link.sendall(b"recycle memory\n")

    def answer(self) -> None:
        try:
            caller = self.listener.accept()[0]
        except BlockingIOError:
            return
        with caller:
            caller.setblocking(True)
            caller.recv(1024)
            caller.sendall(f"{self.place} {os.getpid()}".encode())

    def told(self) -> bool:
        """Whether it is to go."""
        words = self.link.recv(1024).decode().splitlines() or ["orphaned"]
        for word in words:
            self.note(word)
        return not (self.folder / "deaf").exists()

    def note(self, word: str) -> None:
        with (self.folder / "noted").open("a") as notes:
            notes.write(f"{self.place} {word}\n")


if __name__ == "__main__":
    where = Path(sys.argv[1])
    if sys.argv[-1] == "child":
        sys.exit(Child(where, *map(int, sys.argv[2:5])).run())
    sys.exit(parent(where, int(sys.argv[2]), float(sys.argv[3])))
