"""Restart what runs with other inputs than the generation's, wait for health, go back when it does not come."""

from steps.question import Deploy
from steps.step import step


def changed(deploy: Deploy) -> None:
    step(name="Restart what changed and wait until it is healthy", deploy=deploy, step_name="restart")
