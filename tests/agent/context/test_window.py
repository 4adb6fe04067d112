"""Trigger, target and window: what fits together, and whose fault it is where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from agent.context.window import Window, WindowError, window_of
from agent.live.models import profile_for
from agent.spec import Context


def window(window_tokens: int = 131_072, trigger_share: float = 0.8, **context: Any) -> Window:
    return window_of(
        Context(**context),
        window_tokens=window_tokens,
        trigger_share=trigger_share,
    )


def test_defaults_are_the_servers_said_outright() -> None:
    """Four fifths of the window, and half of that."""
    assert window() == Window(131_072, 104_857, 52_428)
    assert window(32_768) == Window(32_768, 26_214, 13_107)


def test_trigger_share_is_the_models() -> None:
    """A model that outgrows its trigger gets a lower one."""
    assert window(trigger_share=0.3) == Window(131_072, 39_321, 19_660)


@pytest.mark.parametrize(
    ("model", "vertexai"),
    [
        ("gemini-3.8-live", False),
        ("gemini-3.1-flash-live-preview", False),
        ("gemini-live-2.5-flash", True),
        ("gemini-live-2.5-flash-native-audio", True),
    ],
)
def test_every_model_has_sane_defaults(model: str, vertexai: bool) -> None:
    """Target below trigger below nine tenths of the window, where a session has to be left."""
    profile = profile_for(model, vertexai=vertexai)
    found = window(profile.window_tokens, profile.trigger_share)
    assert found.trigger_tokens is not None
    assert found.target_tokens is not None
    assert 2_000 < found.target_tokens < found.trigger_tokens < 0.9 * found.window_tokens


def test_agents_own_sizes_are_taken() -> None:
    """Each alone, and both."""
    assert window(trigger_tokens=20_000) == Window(131_072, 20_000, 10_000)
    assert window(target_tokens=30_000) == Window(131_072, 104_857, 30_000)
    assert window(trigger_tokens=20_000, target_tokens=19_999) == Window(131_072, 20_000, 19_999)


def test_trigger_may_be_the_whole_window() -> None:
    """Over it is refused, and the message says by how much."""
    assert window(32_768, trigger_tokens=32_768).trigger_tokens == 32_768
    with pytest.raises(WindowError) as refused:
        window(32_768, trigger_tokens=32_769)
    assert refused.value.field == "context.trigger_tokens"
    assert refused.value.message == "32,769 is over the model's window of 32,768"
    assert str(refused.value) == f"{refused.value.field}: {refused.value.message}"


@pytest.mark.parametrize("target", [20_000, 30_000])
def test_target_must_be_below_the_trigger(target: int) -> None:
    """Equal is refused as well."""
    with pytest.raises(WindowError) as refused:
        window(trigger_tokens=20_000, target_tokens=target)
    assert refused.value.field == "context.target_tokens"
    assert refused.value.message == f"{target:,} is not below the trigger of 20,000"


def test_target_must_be_below_a_trigger_that_nobody_set() -> None:
    """The message says where that one comes from; a target over the window is caught so, too."""
    with pytest.raises(WindowError, match="not below the model's default trigger of 26,214"):
        window(32_768, target_tokens=40_000)


def test_without_compression_there_is_the_window_alone() -> None:
    """Sizes that the agent's file has left over are of no account."""
    assert window(compression=False) == Window(131_072)
    assert window(compression=False, trigger_tokens=5_000, target_tokens=9_000) == Window(131_072)
