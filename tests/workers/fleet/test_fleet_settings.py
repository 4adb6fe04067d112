"""How long a worker may hang, and may take to leave."""

from __future__ import annotations

import pytest

from workers.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EVERCALL_HUNG_S", "EVERCALL_DRAIN_S"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_eight_seconds_and_five_minutes() -> None:
    """As the example says."""
    settings = load_settings(None)
    assert (settings.hung_s, settings.drain_s) == (8.0, 300.0)


@pytest.mark.parametrize("value", ["0", "1", "30.5"])
def test_watchdog_can_be_set_and_turned_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """0 turns it off."""
    monkeypatch.setenv("EVERCALL_HUNG_S", value)
    assert load_settings(None).hung_s == float(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EVERCALL_HUNG_S", "0.5"),
        ("EVERCALL_HUNG_S", "-1"),
        ("EVERCALL_HUNG_S", "nan"),
        ("EVERCALL_HUNG_S", "inf"),
        ("EVERCALL_DRAIN_S", "-1"),
        ("EVERCALL_DRAIN_S", "nan"),
        ("EVERCALL_DRAIN_S", "for ever"),
    ],
)
def test_value_that_would_kill_at_once_or_never_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """In one line that names the setting."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(None)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)
