"""Remove the agent from a studio's cameras, and their accounts from the hub:

cd pyinfra && STUDIO=NAME pyinfra devices_hosts.py devices_remove.py -y [--limit CAMERA] [--data keep_data=true]
"""

from pyinfra import config

config.REQUIRE_PYINFRA_VERSION = ">=3.10,<3.11"

from devices_steps import remove  # noqa: E402 - pyinfra's version is checked first

remove(name="Remove the agent from the cameras")
