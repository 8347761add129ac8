"""Small parts of the hub: settings, tokens, limits."""

import asyncio
from typing import Any

import pytest

from hub import settings
from hub.ids import Token, accepted_request_id, iso, new_token, parse_token
from hub.inbox import IN_HAND, Inbox
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


NUMBERS = [name for name, field in settings.Settings.model_fields.items() if field.annotation is float]


def test_there_are_times_among_the_settings() -> None:
    named = {"run_timeout", "device_silent_seconds", "heartbeat_dedup_seconds", "dispatch_wait", "fcm_timeout"}
    assert named | {"heartbeat_retention_days", "run_retention_days"} <= set(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_time_is_a_number_that_can_be_counted_to(name: str) -> None:
    for endless in ("inf", "nan", "-1", "1e300"):
        with pytest.raises(settings.SettingsError, match=f"^HUB_{name.upper()}: .*$"):
            settings.load(admin_token=TOKEN, **{name: endless})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://hub@localhost/hub",
        "postgresql://hub:p%40ss@[::1]:5432/hub?sslmode=verify-full&sslrootcert=/etc/ca.pem&application_name=hub",
        "postgresql://hub@/hub?host=/run/postgresql",
    ],
)
def test_a_postgresql_url_is_as_libpq_takes_it(url: str) -> None:
    assert settings.load(admin_token=TOKEN, database_url=url).database_url == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://hub@h:abc/x", "must look like postgresql://"),
        ("postgresql://hub@h:99999/x", "must look like postgresql://"),
        ("postgresql://hub:p@ss@h/x", "written as %"),
        ("postgresql://hub:p#ss@h/x", "written as %"),
        ("postgresql://hub@h/x?sslmode", "must look like postgresql://"),
        ("postgresql://hub@h/x?sslmode=always", "sslmode must be one of"),
        ("postgresql://hub@h/x?ssl=require", "ssl: not known here"),
        ("postgresql://hub@h/x?connect_timeout=5", "connect_timeout: not known here"),
    ],
)
def test_what_no_postgresql_can_be_reached_by_is_a_wrong_setting(url: str, told: str) -> None:
    with pytest.raises(settings.SettingsError) as caught:
        settings.load(admin_token=TOKEN, database_url=url)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("HUB_DATABASE_URL: ")
    assert told in line
    assert "p@ss" not in line


@pytest.mark.parametrize("name", ["tsdb_url", "alertmanager_url", "fcm_url"])
def test_an_address_of_the_stack_is_one(name: str) -> None:
    assert getattr(settings.load(admin_token=TOKEN, **{name: "https://victoria:8428/x"}), name)
    for wrong in ("victoria:8428", "http://", "http://victoria:many", "file:///etc/passwd", "http://[::1"):
        with pytest.raises(settings.SettingsError, match=f"^HUB_{name.upper()}: must look like http://"):
            settings.load(admin_token=TOKEN, **{name: wrong})


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


async def _inbox_in_turn() -> None:
    acknowledged: list[int] = []
    gates = [asyncio.Event() for _ in range(3)]
    inbox = Inbox()

    async def work(number: int) -> None:
        await gates[number].wait()
        if number == 1:
            raise ValueError("what fails is not sent again for ever")

    for number in range(3):
        await inbox.add(lambda n=number: acknowledged.append(n), work(number))  # type: ignore[misc]
    await inbox.add(lambda: acknowledged.append(3), None)
    assert len(inbox) == 4
    for number, expected in ((2, []), (1, []), (0, [0, 1, 2, 3])):
        gates[number].set()
        await asyncio.sleep(0.01)
        assert acknowledged == expected
    await inbox.finish()
    assert len(inbox) == 0
    await inbox.add(lambda: acknowledged.append(4), None)
    assert acknowledged[-1] == 4


def test_messages_are_acknowledged_in_their_order_and_only_when_they_were_taken() -> None:
    asyncio.run(_inbox_in_turn())


async def _inbox_bounded() -> None:
    gate, begun = asyncio.Event(), 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        await gate.wait()

    inbox = Inbox()
    adding = asyncio.create_task(_add_many(inbox, work, IN_HAND + 5))
    await asyncio.sleep(0.2)
    assert (begun, adding.done()) == (IN_HAND, False)
    gate.set()
    await adding
    await inbox.finish()
    assert begun == IN_HAND + 5


async def _add_many(inbox: Inbox, work: Any, count: int) -> None:
    for _ in range(count):
        await inbox.add(lambda: None, work())


def test_so_many_messages_are_in_hand_and_no_more() -> None:
    asyncio.run(_inbox_bounded())
