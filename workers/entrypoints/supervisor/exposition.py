"""Prometheus texts of several processes made one, each sample with the process it came from.

Text to text: to parse samples into numbers and print them again takes a hundred times as long, on
the event loop of a process that has calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def merged(texts: Iterable[tuple[str, bytes]]) -> bytes:
    """Return one exposition of all ``(process, exposition)``.

    Each family stands in it once (exposition_formats.md: all lines for one metric must be one
    group), with its help and type as first given, and its samples labelled ``process``.
    """
    headers: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for process, text in texts:
        for family, header, lines in _families(text.decode()):
            headers.setdefault(family, header)
            samples.setdefault(family, []).extend(_labelled(line, process) for line in lines)
    blocks = ("\n".join([*headers[family], *samples[family], ""]) for family in headers)
    return "".join(blocks).encode()


def _families(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Name, comments and samples, as prometheus_client writes them: ``# HELP`` begins one."""
    family = ""
    header: list[str] = []
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith("# HELP "):
            if family:
                yield family, header, lines
            family, header, lines = line.split(" ", 3)[2], [line], []
        elif line.startswith("#"):
            header.append(line)
        elif line:
            lines.append(line)
    if family:
        yield family, header, lines


def _labelled(sample: str, process: str) -> str:
    # A name holds neither of the two (data_model: [a-zA-Z_:][a-zA-Z0-9_:]*).
    name, value = sample.split(" ", 1)
    if "{" in name:
        name, rest = sample.split("{", 1)
        return f'{name}{{process="{process}",{rest}'
    return f'{name}{{process="{process}"}} {value}'
