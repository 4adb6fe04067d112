"""What the model finds in what it holds, and nowhere else: facts, and where it was cut off.

However a client words what it tells a model, in the instruction or as history, a model looks for
what it needs in all of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from workers.twin import speech
from workers.twin.live_api.script import Recall

# A line is known by so many of its words; one or two may stand anywhere.
_SURE_WORDS = 3


def recall(step: Recall, held: Sequence[str]) -> tuple[str, bool]:
    """Return what the model says, and whether it knows what it was asked.

    Args:
        step: What it is asked, and both answers.
        held: All texts that it holds; the newest comes last, and counts where it says otherwise
            than an older one.
    """
    for text in reversed(held):
        found = re.search(step.known, text)
        if found is not None:
            return fill(
                step.say, (found.group(0), *(group or "" for group in found.groups()))
            ), True
    return step.otherwise, False


def fill(text: str, groups: Sequence[str]) -> str:
    """Put what a regular expression matched in place of ``{0}``, ``{1}`` and so on."""
    for number, group in enumerate(groups):
        text = text.replace(f"{{{number}}}", group)
    return text


def rest(lines: Sequence[speech.Speech], held: Sequence[str]) -> speech.Speech:
    """Find what was being said, and return what is left of it.

    Of several lines it is the one that was told last; the first of them where none was told.
    """
    told = " ".join(" ".join(held).split())
    found: list[tuple[bool, int, speech.Speech]] = [(False, -1, lines[0])]
    for line in lines:
        words = [word.text for word in line.words]
        for count in range(len(words), 0, -1):
            at = told.rfind(" ".join(words[:count]))
            if at >= 0:
                sure = count >= min(_SURE_WORDS, len(words))
                found.append((sure, at, line.after(count)))
                break
    return max(found, key=lambda one: one[:2])[2]
