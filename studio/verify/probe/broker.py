"""The broker as its clients see it: who gets in, and what each account may do."""

import json
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SECONDS = 15.0  # for an answer; a busy Pi hashes a password for a second
DELIVERY_SECONDS = 0.5  # for those who should not hear the canary, after one who should has heard it


class Session:
    """One MQTT 5 connection; every answer is the broker's reason as text (`Success`, `Not authorized`, ...)."""

    def __init__(self, port: int, name: str | None, password: str | None) -> None:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        self.answers: dict[Any, str] = {}
        self.heard: list[str] = []
        self.news = threading.Condition()
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"verify-{secrets.token_hex(6)}",
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
        )
        if name is not None:
            self.client.username_pw_set(name, password)
        self.client.on_connect = lambda c, d, f, reason, p: self._tell("connect", str(reason))
        self.client.on_disconnect = lambda c, d, f, reason, p: self._tell("disconnect", str(reason))
        self.client.on_subscribe = lambda c, d, mid, reasons, p: self._tell(("subscribe", mid), str(reasons[0]))
        self.client.on_publish = lambda c, d, mid, reason, p: self._tell(("publish", mid), str(reason))
        self.client.on_message = lambda c, d, message: self.heard.append(message.topic)
        try:
            self.client.connect("127.0.0.1", port, keepalive=20)
        except OSError as error:
            self.answers["connect"] = f"no connection: {error}"
            return
        self.client.loop_start()
        if self._answer("connect") != "Success":
            self.close()

    def _tell(self, key: Any, reason: str) -> None:
        with self.news:
            self.answers.setdefault(key, reason)
            self.news.notify_all()

    def _answer(self, *keys: Any) -> str:
        with self.news:
            self.news.wait_for(lambda: any(key in self.answers for key in keys), SECONDS)
            return next((self.answers[key] for key in keys if key in self.answers), "no answer")

    @property
    def connected(self) -> str:
        return self.answers.get("connect", "no answer")

    def subscribe(self, topic: str) -> str:
        _, mid = self.client.subscribe(topic, qos=1)
        return self._answer(("subscribe", mid), "disconnect")

    def publish(self, topic: str, payload: str) -> str:
        info = self.client.publish(topic, payload, qos=1)
        return self._answer(("publish", info.mid), "disconnect")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Gathering:
    """The accounts that are connected at once: all subscribe, then the canary is sent, then all go on."""

    def __init__(self, count: int) -> None:
        self.subscribed = threading.Semaphore(0)
        self.count = count
        self.sent = threading.Event()
        self.sessions: list[Session] = []

    def wait_for_subscriptions(self) -> None:
        for _ in range(self.count):
            self.subscribed.acquire(timeout=2 * SECONDS)

    def wait_for_delivery(self) -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not any(session.heard for session in self.sessions):
            time.sleep(0.02)
        time.sleep(DELIVERY_SECONDS)


def account(port: int, about: dict[str, Any], password: str, gathering: Gathering) -> dict[str, Any]:
    """What one account may do: each subscription and publication of `about` with the broker's answer."""
    session = Session(port, about["name"], password)
    told: dict[str, Any] = {"connect": session.connected, "subscribe": {}, "publish": {}, "heard": []}
    try:
        if session.connected != "Success":
            return told
        gathering.sessions.append(session)
        topics = [*about["may_subscribe"], *about["may_not_subscribe"]]
        told["subscribe"] = {topic: session.subscribe(topic) for topic in topics}
    finally:
        gathering.subscribed.release()
    gathering.sent.wait(4 * SECONDS)
    told["heard"] = sorted(set(session.heard))
    for topic in about["may_not_publish"]:
        told["publish"][topic] = session.publish(topic, "verify")
        if "disconnect" in session.answers:
            break
    session.close()
    return told


def ask(port: int, accounts: list[dict[str, Any]], values: dict[str, bytes], canary: dict[str, str]) -> dict[str, Any]:
    """The broker's answers to strangers and to every account.

    While all are subscribed the canary is published once with its own account: who hears it may read it.
    """
    passwords = {a["name"]: values.get(a["secret"], b"").decode() for a in accounts}
    strangers = {
        "anonymous": (None, None),
        "wrong password": (canary["account"], "wrong"),
        "unknown account": ("nobody", "wrong"),
        "no password": (canary["account"], ""),
    }
    told: dict[str, Any] = {}
    gathering = Gathering(len(accounts))
    with ThreadPoolExecutor(len(accounts) + len(strangers)) as pool:
        refusals = {kind: pool.submit(_refusal, port, *words) for kind, words in strangers.items()}
        asked = {a["name"]: pool.submit(account, port, a, passwords[a["name"]], gathering) for a in accounts}
        try:
            gathering.wait_for_subscriptions()
            told["canary"] = _send(port, canary, passwords[canary["account"]])
            if told["canary"] == "Success":
                gathering.wait_for_delivery()
        finally:
            gathering.sent.set()
        told["accounts"] = {name: future.result() for name, future in asked.items()}
        told |= {kind: future.result() for kind, future in refusals.items()}
    return told


def _send(port: int, canary: dict[str, str], password: str) -> str:
    session = Session(port, canary["account"], password)
    if session.connected != "Success":
        return session.connected
    answer = session.publish(canary["topic"], json.dumps({"sent": int(time.time() * 1000)}))
    session.close()
    return answer


def _refusal(port: int, name: str | None, password: str | None) -> str:
    session = Session(port, name, password)
    if session.connected == "Success":
        session.close()
    return session.connected
