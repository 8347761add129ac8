"""The account that runs the containers, its subordinate ids, and its systemd that outlives a log-in."""

from steps.question import Deploy
from steps.step import step


def make(deploy: Deploy) -> None:
    step(name="Make the account", deploy=deploy, step_name="account")
