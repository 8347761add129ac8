"""Small parts of the hub: settings, tokens, limits."""

import pytest

from hub import settings
from hub.ids import Token, accepted_request_id, iso, new_token, parse_token
from hub.limits import CALLERS, RateLimit

TOKEN = "0123456789abcdef"


def test_every_wrong_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_PORT", "many")
    monkeypatch.setenv("HUB_MQTT_URL", "http://broker")
    monkeypatch.setenv("HUB_DATABASE_URL", "mysql://x")
    with pytest.raises(settings.SettingsError) as caught:
        settings.load(admin_token=TOKEN)
    for name in ("HUB_PORT", "HUB_MQTT_URL", "HUB_DATABASE_URL"):
        assert name in str(caught.value)


def test_there_is_no_default_admin_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUB_ADMIN_TOKEN", raising=False)
    for weak in ({}, {"admin_token": "short"}):
        with pytest.raises(settings.SettingsError, match="HUB_ADMIN_TOKEN"):
            settings.load(**weak)


def test_a_blank_event_log_is_off_and_the_default_is_the_documented_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVISION_EVENT_LOG", raising=False)
    assert settings.load(admin_token=TOKEN).provision_event_log == "data/provisioning/events.jsonl"
    monkeypatch.setenv("PROVISION_EVENT_LOG", "")
    assert settings.load(admin_token=TOKEN).provision_event_log == ""


@pytest.mark.parametrize(
    "name", ["provision_port", "tls_port", "tls_cert", "broker_users_file", "page_config", "mqtt_ca"]
)
def test_what_has_no_default_may_be_blank(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"HUB_{name.upper()}", "")
    assert getattr(settings.load(admin_token=TOKEN), name) is None


def test_secrets_are_not_shown() -> None:
    assert TOKEN not in repr(settings.load(admin_token=TOKEN))
    assert "secret-part" not in repr(Token("id", "secret-part"))


def test_a_token_survives_its_text_and_nothing_else_is_one() -> None:
    token = new_token()
    assert parse_token(token.text) == token
    for bad in (
        "",
        "x",
        token.id,
        token.text + "\n",
        f"{token.id}.",
        f"{token.id}. {token.secret}",
        "é" * 12 + ".x" * 20,
    ):
        assert parse_token(bad) is None


def test_request_ids_of_strangers_are_short_and_clean() -> None:
    assert accepted_request_id([b"a-1._B"]) == "a-1._B"
    for bad in ([], [b""], [b"a", b"a"], [b"a b"], [b"a\n"], [b"x" * 65], ["é".encode()]):
        assert accepted_request_id(bad) is None


def test_times_are_utc_with_milliseconds() -> None:
    assert iso(1739401862183) == "2025-02-12T23:11:02.183Z"


def test_a_rate_limit_gives_back_with_time_and_knows_a_bounded_number_of_callers() -> None:
    now = [0.0]
    limit = RateLimit(60, clock=lambda: now[0])
    assert [limit.take("a") for _ in range(61)] == [0] * 60 + [1]
    assert limit.take("b") == 0
    now[0] = 1.0
    assert [limit.take("a"), limit.take("a")] == [0, 1]
    for n in range(CALLERS + 100):
        limit.take(f"caller-{n}")
    assert len(limit._buckets) == CALLERS
