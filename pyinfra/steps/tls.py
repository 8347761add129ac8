"""The studio's certificate authority and the broker's certificate: made, and renewed when they end soon."""

from steps.question import Deploy
from steps.step import step


def make(deploy: Deploy) -> None:
    step(name="Make the TLS certificate", deploy=deploy, step_name="tls")
