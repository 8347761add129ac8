"""Secrets: ours are made on the host, the user's go there through standard input, when they are new there."""

import json

from steps.question import Deploy
from steps.step import step


def make(deploy: Deploy) -> None:
    step(name="Make the secrets", deploy=deploy, step_name="secrets", stdin=lambda: json.dumps(deploy.given))
