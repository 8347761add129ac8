"""Which images there are: of which packages, with which files, and how each starts (as the official one does)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.oci import ImageConfig


@dataclass(frozen=True)
class Image:
    """One component's image.

    Attributes:
        reference: its full name, as the lab's inventory has it.
        packages: Debian packages, with what they depend on.
        files: folders under lab/images whose content is laid over them, in order.
        config: how it starts.
        folders: empty folders and the number of the user each belongs to; a volume takes that over.
    """

    reference: str
    packages: tuple[str, ...]
    files: tuple[str, ...]
    config: ImageConfig = field(default_factory=ImageConfig)
    folders: Mapping[str, int] = field(default_factory=dict)


IMAGES = {
    "victoriametrics": Image(
        "localhost/lab/victoriametrics:1.112.0", ("victoria-metrics",), ("victoriametrics",),
        ImageConfig(entrypoint=["/victoria-metrics-prod"]),
    ),
    "vmalert": Image(
        "localhost/lab/vmalert:1.112.0", ("victoria-metrics",), ("victoriametrics",),
        ImageConfig(entrypoint=["/vmalert-prod"]),
    ),
    "alertmanager": Image(
        "localhost/lab/alertmanager:0.28.1", ("prometheus-alertmanager",), ("alertmanager",),
        ImageConfig(
            entrypoint=["/bin/alertmanager"], user="nobody", workdir="/alertmanager", volumes=["/alertmanager"],
            command=["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"],
        ),
        {"/alertmanager": 65534, "/etc/alertmanager": 65534},
    ),
    "mosquitto": Image(
        "localhost/lab/mosquitto:2.0", ("mosquitto",), (),
        ImageConfig(
            entrypoint=["/usr/sbin/mosquitto"], command=["-c", "/mosquitto/config/mosquitto.conf"],
            volumes=["/mosquitto/data", "/mosquitto/log"],
        ),
        {"/mosquitto/config": 1883, "/mosquitto/data": 1883, "/mosquitto/log": 1883},
    ),
    "hivemq": Image(
        "localhost/lab/hivemq:2025.5", ("openjdk-21-jre-headless", "bash"), ("hivemq",),
        ImageConfig(
            entrypoint=["/opt/docker-entrypoint.sh"], command=["/opt/hivemq/bin/run.sh"],
            user="10000", workdir="/opt/hivemq", volumes=["/opt/hivemq/data", "/opt/hivemq/log"],
            environment={"HIVEMQ_ALLOW_ALL_CLIENTS": "true", "JAVA_OPTS": "-XX:+UseNUMA", "LANG": "C.UTF-8"},
        ),
        {f"/opt/hivemq/{name}": 10000 for name in ("data", "log", "extensions", "conf")},
    ),
    "vector": Image(
        "localhost/lab/vector-standin:0.57.0", ("python3",), ("vector",),
        ImageConfig(entrypoint=["/usr/local/bin/vector"], labels={"sensor-pipeline.stand-in": "true"}),
    ),
    # What the hub's image is built on; pip finds everything in the image, since a lab host reaches no package index.
    "python": Image(
        "localhost/lab/python:3.13", ("python3", "python3-pip"), ("python",),
        ImageConfig(
            entrypoint=["/usr/bin/python3"], environment={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/opt/wheels"},
        ),
    ),
}  # fmt: skip
