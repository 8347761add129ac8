"""The studio's host: how a command gets there and back."""

from studio.host.errors import Failed, HostProblem, Unreachable
from studio.host.hostctl import hostctl, hostctl_json, run_deployed
from studio.host.reach import Answer, run

__all__ = ["Answer", "Failed", "HostProblem", "Unreachable", "hostctl", "hostctl_json", "run", "run_deployed"]
