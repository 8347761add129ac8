"""One MQTT conversation in the caller's own thread, each step with a time limit on the monotonic clock."""

import collections
import contextlib
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent import errors

BAD_LOGIN = frozenset({"Bad user name or password", "Not authorized", "Client identifier not valid", "Banned"})


class Endpoint(NamedTuple):
    """A server: host, port, whether TLS is spoken, and who vouches for whom."""

    host: str
    port: int
    tls: bool
    ca_certificate: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


class Login(NamedTuple):
    """What a client says of itself when it connects."""

    client_id: str
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Login(client_id={self.client_id!r})"


def trust(endpoint: Endpoint) -> ssl.SSLContext:
    """A context that verifies the server's certificate and name, always."""
    context = ssl.create_default_context(cafile=str(endpoint.ca_certificate) if endpoint.ca_certificate else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if endpoint.certificate:
        context.load_cert_chain(endpoint.certificate, endpoint.private_key, password=lambda: b"")
    return context


def trust_problem(endpoint: Endpoint) -> str | None:
    """What is wrong with the certificates of an endpoint, None when they load."""
    if not endpoint.tls:
        return None
    try:
        trust(endpoint)
    except (OSError, ssl.SSLError, ValueError) as error:
        names = [str(p) for p in (endpoint.ca_certificate, endpoint.certificate, endpoint.private_key) if p]
        return f"the certificates {', '.join(names)} cannot be used ({error}): give PEM files that belong together"
    return None


def _usable(endpoint: Endpoint) -> ssl.SSLContext:
    """The context of a connection; UnreachableError when its files are not there now, or not whole: tried again."""
    try:
        return trust(endpoint)
    except (OSError, ValueError):
        told = trust_problem(endpoint) or "the certificates could not be used just now"
        raise errors.UnreachableError(f"{endpoint}: {told}", "Put the files right; it is tried again") from None


def _on_the_wire(host: str) -> bytes:
    """The host as bytes, which socket and ssl take as they are: for text they load the tables of all scripts there are.

    What can be no host's name stays as it is: no name server knows it, and that is told.
    """
    try:
        return host.encode("ascii" if host.isascii() else "idna")
    except UnicodeError:
        return host.encode("utf-8", "replace")


def new_client(endpoint: Endpoint, login: Login, *, keepalive: int) -> paho.Client:
    """A paho client that is set up and not yet connected."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=login.client_id, protocol=paho.MQTTv311)
    if login.username is not None:
        client.username_pw_set(login.username, login.password)
    if endpoint.tls:
        client.tls_set_context(_usable(endpoint))
    client.connect_timeout = 5.0
    client.keepalive = keepalive
    client.host, client.port = _on_the_wire(endpoint.host), endpoint.port  # type: ignore[assignment]
    return client


class Session:
    """A connected client, to be used as `with session(...) as s`."""

    def __init__(self, client: paho.Client, endpoint: Endpoint) -> None:
        self._client = client
        self._endpoint = endpoint
        self._connack: Any = None
        self._suback: Any = None
        self._sent: list[int] = []
        self._inbox: collections.deque[paho.MQTTMessage] = collections.deque(maxlen=100)
        client.on_connect = lambda _c, _u, _flags, code, _p: setattr(self, "_connack", code)
        client.on_subscribe = lambda _c, _u, _mid, codes, _p: setattr(self, "_suback", codes[0])
        client.on_publish = lambda _c, _u, mid, _code, _p: self._sent.append(mid)
        client.on_message = lambda _c, _u, message: self._inbox.append(message)

    def open(self, seconds: float) -> None:
        """Connect; raises RefusedError, UntrustedError or UnreachableError."""
        where = self._endpoint
        try:
            self._client.reconnect()
        except ssl.SSLCertVerificationError as error:
            raise errors.UntrustedError(
                f"{where}: the server's certificate is not trusted ({error.verify_message})",
                'Set "ca_certificate" to the CA that signed it, check the host name in it and this device\'s clock',
            ) from error
        except ssl.SSLError as error:
            raise errors.UnreachableError(
                f"{where}: no TLS connection ({error.reason or error})",
                "Check that this port speaks TLS, and the certificates on both sides",
            ) from error
        except TimeoutError as error:
            # Of the TLS handshake, most of all: a port that speaks plain MQTT waits for ever.
            raise errors.UnreachableError(
                f"{where}: no answer in time{' (TLS handshake)' if 'handshake' in str(error) else ''}",
                "Check the network, the server's name and port, and that this port speaks "
                + ("TLS" if where.tls else "MQTT"),
            ) from error
        except (OSError, ValueError) as error:  # of a host's name too
            raise errors.UnreachableError(
                f"{where}: no connection ({getattr(error, 'strerror', None) or error})",
                "Check the network, the server's name and port, and that the server runs",
            ) from error
        if not self._until(lambda: self._connack is not None, seconds):
            raise self._silent("no answer to CONNECT")
        if self._connack.is_failure:
            told = f"{where}: the server refused the login ({self._connack})"
            if str(self._connack) in BAD_LOGIN:
                raise errors.RefusedError(told, "Check the credentials on the server")
            raise errors.UnreachableError(told, "The server is not ready; it is tried again")

    def subscribe(self, topic: str, seconds: float) -> None:
        """Subscribe at QoS 1; raises RefusedError or UnreachableError."""
        self._client.subscribe(topic, qos=1)
        if not self._until(lambda: self._suback is not None, seconds):
            raise self._silent(f"no answer to the subscription of {topic}")
        if self._suback.is_failure:
            raise errors.RefusedError(
                f"{self._endpoint}: the server refused the subscription of {topic}",
                "Check that this is the server's provisioning port",
            )

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Send at QoS 1 without waiting for the acknowledgement; the number that it will have."""
        return self._client.publish(topic, payload, qos=1, retain=retain).mid

    def acknowledged(self) -> list[int]:
        """Numbers of what the server has acknowledged since the last call, in the order of the acknowledgements."""
        taken = list(self._sent)
        self._sent.clear()
        return taken

    def turn(self, seconds: float) -> None:
        """Send and receive; waits until something happens, at most so long. Raises UnreachableError at the end."""
        if self._client.loop(seconds) != paho.MQTT_ERR_SUCCESS:
            raise self._silent("the connection was lost")

    def finish(self, number: int, seconds: float) -> None:
        """Wait until a message is acknowledged, at most so long."""
        self._until(lambda: number in self._sent, seconds)

    def waiting(self) -> list[paho.MQTTMessage]:
        """What has arrived and was not taken yet; waits for nothing."""
        taken = list(self._inbox)
        self._inbox.clear()
        return taken

    def message(self, seconds: float) -> paho.MQTTMessage | None:
        """The next message; None when the time is over; raises UnreachableError when the connection ends first."""
        if not self._until(lambda: bool(self._inbox), seconds):
            if not self._client.is_connected():
                raise self._silent("the server closed the connection without an answer")
            return None
        return self._inbox.popleft()

    def _until(self, done: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not done():
            left = end - time.monotonic()
            if left <= 0 or self._client.loop(min(left, 0.5)) != paho.MQTT_ERR_SUCCESS:
                return done()
        return True

    def _silent(self, what: str) -> errors.UnreachableError:
        return errors.UnreachableError(
            f"{self._endpoint}: {what}", "Check that this is the MQTT port of the server, and the server's own log"
        )


@contextlib.contextmanager
def session(
    endpoint: Endpoint, login: Login, seconds: float, *, will: tuple[str, bytes] | None = None, keepalive: int = 10
) -> Iterator[Session]:
    """A connected session that is closed again, whatever happens. `will`: a retained message if it ends unasked."""
    client = new_client(endpoint, login, keepalive=keepalive)
    if will is not None:
        client.will_set(*will, qos=1, retain=True)
    opened = Session(client, endpoint)
    try:
        opened.open(seconds)
        yield opened
    finally:
        client.disconnect()
        client.on_connect = client.on_subscribe = client.on_publish = client.on_message = None
        if (socket := client.socket()) is not None:
            socket.close()
