"""Campaign: one campaign as frozen data, read from one YAML file.

The file is shaped for the operator (``hours: {mon-fri: 09:00-18:00}``), ``workers.campaign.model``
for the code; ``workers.campaign.campaign_shape`` says what may stand in it. Every problem is
reported at once, each with file, line and field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent.yaml_shape import YamlShape
from agent.yaml_source import FieldPath
from workers.campaign.campaign_shape import FileShape
from workers.campaign.model import BrakeLimits, Campaign, Source, VoicemailPolicy


def load_campaign(path: str | Path) -> Campaign:
    """Read and check a campaign's file.

    The paths of the agent and the contacts are relative to the file, and absolute in the result.

    Raises:
        AgentSpecError: every problem there is, in file order. A required field that is missing is
            reported at the line of the mapping around it.
    """
    path = Path(path)
    return _campaign(_FILES.read(path), path.absolute().parent)


def _campaign(read: FileShape, folder: Path) -> Campaign:
    said: dict[str, Any] = dict(read)
    contacts: Source = said.pop("contacts")
    voicemail = said.pop("voicemail", {})
    if "policy" in voicemail:
        said["voicemail"] = voicemail["policy"]
    if "message" in voicemail:
        said["voicemail_message"] = voicemail["message"]
    said["agent"] = str(folder / said["agent"])
    said["source"] = dataclasses.replace(contacts, file=str(folder / contacts.file))
    return Campaign(**said)


# -- rules over several fields, on raw data so that one bad field does not hide them -------------


def _cross_checks(data: Mapping[str, Any], folder: Path) -> Iterator[tuple[FieldPath, str]]:
    yield from _files(data, folder)
    yield from _list(data.get("callers"), ("callers",))
    yield from _voicemail(_mapping(data.get("voicemail")))
    yield from _brake(_mapping(data.get("brake")))
    for name, said in _mapping(data.get("outcome")).items():
        yield from _choices(_mapping(said), ("outcome", name))


def _mapping(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _files(data: Mapping[str, Any], folder: Path) -> Iterator[tuple[FieldPath, str]]:
    paths: dict[FieldPath, object] = {
        ("agent",): data.get("agent"),
        ("contacts", "file"): _mapping(data.get("contacts")).get("file"),
    }
    for at, text in paths.items():
        if not isinstance(text, str) or not text.strip():
            continue
        path = folder / text.strip()
        try:
            # What the database keeps is text: Python has bytes of a folder's name that are none.
            str(path).encode()
            found = path.is_file()
        except UnicodeEncodeError:
            yield at, "has a path that is not UTF-8; give its folder another name"
        except OSError as error:
            yield at, f"cannot be read: {error.strerror or error}"
        else:
            if not found:
                yield at, f"there is no file {path}"


def _list(raw: object, at: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    """Not ``Field(min_length=1)``: pydantic counts the items that are good."""
    items = raw if isinstance(raw, list) else []
    if raw == []:
        yield at, "is empty"
    for index, item in enumerate(items):
        if item is not None and item in items[:index]:
            yield (*at, index), "is already listed"


def _voicemail(said: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    policy = said.get("policy", VoicemailPolicy.HANG_UP.value)
    if policy not in list(VoicemailPolicy):
        return
    leaves = policy == VoicemailPolicy.LEAVE_MESSAGE
    if leaves and "message" not in said:
        yield ("voicemail", "message"), "is required with policy leave_message"
    if not leaves and "message" in said:
        yield ("voicemail", "message"), f"is never said: the policy is {policy}, not leave_message"


def _brake(said: Mapping[str, Any]) -> Iterator[tuple[FieldPath, str]]:
    default = BrakeLimits()
    try:
        calls = int(said.get("calls", default.calls))
        at_least = int(said.get("at_least", default.at_least))
    except (TypeError, ValueError):
        return
    if at_least > calls:
        where = "at_least" if "at_least" in said else "calls"
        yield ("brake", where), f"at_least ({at_least}) is more than calls ({calls}): it never acts"


def _choices(said: Mapping[str, Any], at: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    if said.get("type") == "choice" and "choices" not in said:
        yield (*at, "choices"), "is required with type choice"
    if "type" in said and said["type"] != "choice" and "choices" in said:
        yield (*at, "choices"), "needs type choice"
    yield from _list(said.get("choices"), (*at, "choices"))


_FILES: Final = YamlShape(FileShape, _cross_checks)
