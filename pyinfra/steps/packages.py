"""Debian packages that are missing."""

from steps.question import Deploy
from steps.step import step


def install(deploy: Deploy) -> None:
    step(name="Install packages", deploy=deploy, step_name="packages")
