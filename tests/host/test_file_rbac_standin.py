"""The stand-in of HiveMQ's File RBAC extension answers clients as the real one was measured to (HiveMQ CE, MQTT 5)."""

import base64
import hashlib
import time
from collections.abc import Iterator

import pytest

from lab.host import LabHost, Result

pytestmark = pytest.mark.lab
HOST = "test-lab-rbac"
EXTENSIONS = "/srv/extensions"
CONF = f"{EXTENSIONS}/hivemq-file-rbac-extension/conf"
IMAGE = "localhost/lab/hivemq:2025.5"
# the password `pass1`, from the README of the real extension
README_HASH = (
    "WFNQUVB0UkxjM04xa0hSR1BQNGhuOTJKVzdlbXA4bjk=:100:"
    "FY12nwpUEbBK9EKQ/Aw/rQKSoA7jXsC0HKELwU2mLCVU39bJVK0zf4NemuFeDOHPO4BW1nOjxi6NporkC6rUog=="
)
SETTINGS = """<extension-configuration>
  <credentials-reload-interval>1</credentials-reload-interval>
  <archiver-enabled>false</archiver-enabled>
  <password-type>HASHED</password-type>
</extension-configuration>"""
ROLES = """<roles>
  <role><id>reader</id><permissions>
    <permission><topic>furnace/#</topic><activity>SUBSCRIBE</activity></permission></permissions></role>
  <role><id>device</id><permissions>
    <permission><topic>furnace/${{username}}/telemetry</topic><activity>PUBLISH</activity>
      <qos>ZERO_ONE</qos><retain>NOT_RETAINED</retain></permission>
    <permission><topic>own/${{clientid}}/#</topic></permission></permissions></role>
</roles>"""


def hashed(password: str) -> str:
    salt = b"a salt of the test"
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 100, 64)
    return f"{base64.b64encode(salt).decode()}:100:{base64.b64encode(digest).decode()}"


def credentials(*more: str, extra: str = "") -> str:
    users = {"vector": ("reader", hashed("vp")), "main": ("device", hashed("dp")), "user1": ("reader", README_HASH)}
    users |= {name: ("reader", hashed(name)) for name in more}
    listed = "".join(
        f"<user><name>{name}</name><password>{password}</password><roles><id>{role}</id></roles></user>"
        for name, (role, password) in users.items()
    )
    return f"<file-rbac><users>{listed}{extra}</users>{ROLES}</file-rbac>"


def start(host: LabHost, options: str) -> None:
    """HiveMQ in a container of root's, and wait until it listens."""
    host.exec("podman rm -f -t 10 hivemq")
    host.exec(f"podman run -d --name hivemq --network=host {options} {IMAGE}")
    host.exec("timeout 60 bash -c 'until (echo > /dev/tcp/127.0.0.1/1883) 2> /dev/null; do sleep 0.1; done'")


def replace_credentials(host: LabHost, text: str) -> None:
    """As a deploy does: a new file renamed over the old one. The broker reads it within a second."""
    host.write(f"{CONF}/.new", text)
    host.exec(f"mv {CONF}/.new {CONF}/credentials.xml")
    time.sleep(2.2)


@pytest.fixture(scope="module")
def host() -> Iterator[LabHost]:
    host = LabHost(HOST)
    try:
        host.up(fresh=True).exec("apt-get install -y podman netavark mosquitto-clients")
        host.exec("podman load -q -i /var/lib/lab/images/hivemq.tar")
        start(host, "")
        assert connect(host).returncode == 0, "the image lets anybody in, else the refusals below would prove nothing"
        host.exec(f"python3 -m zipfile -e /var/lib/lab/archive/hivemq-file-rbac-extension-standin.zip {EXTENSIONS}")
        host.write(f"{CONF}/config.xml", SETTINGS)
        host.write(f"{CONF}/credentials.xml", credentials())
        start(host, f"-v {EXTENSIONS}:/opt/hivemq/extensions:ro")
        yield host
    finally:
        host.down()


def connect(host: LabHost, *login: str) -> Result:
    """Publish where nobody is refused for the topic: what fails is the connection."""
    user = ["-u", login[0], "-P", login[1]] if login else []
    return host.exec(["mosquitto_pub", "-V", "mqttv5", "-t", "t", "-m", "m", "-q", "0", *user], check=False)


def publish(host: LabHost, topic: str, *options: str) -> Result:
    argv = ["mosquitto_pub", "-V", "mqttv5", "-q", "1", "-u", "main", "-P", "dp", "-i", "box", "-t", topic, "-m", "1"]
    return host.exec([*argv, *options], check=False)


def subscribe(host: LabHost, topic: str) -> Result:
    argv = ["mosquitto_sub", "-V", "mqttv5", "-u", "vector", "-P", "vp", "-t", topic, "-W", "1"]
    return host.exec(argv, check=False)


def test_the_anonymous_and_the_wrong_are_refused_with_the_real_ones_reasons(host: LabHost) -> None:
    assert "Bad User Name or Password" in connect(host).stderr
    assert "Not authorized" in connect(host, "vector", "wrong").stderr
    assert "Not authorized" in connect(host, "nobody", "vp").stderr
    assert connect(host, "vector", "vp").returncode == 0


def test_a_hash_made_by_the_real_ones_generator_is_understood(host: LabHost) -> None:
    assert connect(host, "user1", "pass1").returncode == 0


def test_rights_hold_for_publishing(host: LabHost) -> None:
    assert publish(host, "furnace/main/telemetry").stderr == ""
    assert publish(host, "own/box/state").stderr == ""
    for topic, options in {
        "furnace/other/telemetry": (),
        "own/other/state": (),
        "furnace/main/telemetry": ("--retain",),
    }.items():
        assert "Not authorized" in publish(host, topic, *options).stderr, topic
    assert "Not authorized" in publish(host, "furnace/main/telemetry", "-q", "2").stderr


def test_who_publishes_outside_its_rights_is_cut_off(host: LabHost) -> None:
    stay = "timeout 4 stdbuf -oL mosquitto_pub -d -V {} -q 1 -u main -P dp -i box -l -t {} 2>&1"
    for version in ("mqttv5", "mqttv311"):
        within = host.exec(f"(echo 1; sleep 1) | {stay.format(version, 'own/box/x')}", check=False).stdout
        outside = host.exec(f"(echo 1; sleep 1; echo 2) | {stay.format(version, 'elsewhere')}", check=False).stdout
        assert within.count("sending CONNECT") == 1, within
        cut_off = "received DISCONNECT (135)" in outside or outside.count("sending CONNECT") > 1
        assert cut_off, f"{version}: {outside}"


def test_rights_hold_for_subscribing(host: LabHost) -> None:
    assert subscribe(host, "furnace/+/telemetry").returncode == 27, "let in; nothing came within a second"
    assert "denied" in subscribe(host, "secret/#").stderr
    assert "denied" in subscribe(host, "#").stderr


def test_a_user_added_at_run_time_gets_in(host: LabHost) -> None:
    assert "Not authorized" in connect(host, "late", "late").stderr
    replace_credentials(host, credentials("late"))
    assert connect(host, "late", "late").returncode == 0


def test_invalid_credentials_leave_the_old_ones_in_force(host: LabHost) -> None:
    replace_credentials(host, "<file-rbac><users>")
    assert connect(host, "vector", "vp").returncode == 0
    assert "Bad User Name or Password" in connect(host).stderr


def test_what_the_stand_in_lacks_lets_nobody_in_and_is_said(host: LabHost) -> None:
    replace_credentials(host, credentials(extra="<group/>"))
    assert "Not authorized" in connect(host, "vector", "vp").stderr
    said = host.exec("podman logs hivemq 2>&1").stdout
    assert "not implemented in this stand-in, nobody is let in: <group> in <users>" in said
    replace_credentials(host, credentials())
    assert connect(host, "vector", "vp").returncode == 0
