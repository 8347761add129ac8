"""HiveMQ's File RBAC extension: fetched, checked, put in place."""

from steps.question import Deploy
from steps.step import step


def install(deploy: Deploy) -> None:
    step(name="Install the broker's extension", deploy=deploy, step_name="extension")
