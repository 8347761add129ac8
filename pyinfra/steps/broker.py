"""The broker's accounts: roles of the generation, users with hashed passwords."""

from steps.question import Deploy
from steps.step import step


def write_accounts(deploy: Deploy) -> None:
    step(name="Write the broker's accounts", deploy=deploy, step_name="broker")
