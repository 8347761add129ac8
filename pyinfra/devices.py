"""Put the agent on a studio's cameras, or keep it right there:

cd pyinfra && STUDIO=NAME pyinfra devices_hosts.py devices.py -y [--limit CAMERA] [--data again=true]

A camera is asked one question, and nothing more where everything is as it should be. Nothing is remembered here: what a
killed run left undone is found by the next one. Every camera is tried, whatever happens to the others.
"""

from pyinfra import config

config.REQUIRE_PYINFRA_VERSION = ">=3.10,<3.11"

from devices_steps import keep_right  # noqa: E402 - pyinfra's version is checked first

keep_right(name="The agent on the cameras")
