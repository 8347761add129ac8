"""The generation: uploaded as one archive, judged by the components' validators, switched in, and old ones removed."""

import base64
from collections.abc import Generator

from pyinfra import host, logger
from pyinfra.api import StringCommand, operation
from steps import remote
from steps.question import Deploy
from steps.step import step


@operation()
def _upload(deploy: Deploy) -> Generator[StringCommand, None, None]:
    reasons = deploy.plan.steps.get("upload", [])
    for reason in reasons:
        logger.info(f"{host.print_prefix}{reason}")
    if reasons:
        archive = base64.b64encode(deploy.rendered.archive)
        yield remote.Shown(remote.sent_along("step", "upload"), _stdin=remote.parcel(deploy.rendered.program, archive))


def upload(deploy: Deploy) -> None:
    _upload(name="Upload the generation", deploy=deploy)


def validate(deploy: Deploy) -> None:
    step(name="Let the components judge their configuration", deploy=deploy, step_name="validate")


def switch(deploy: Deploy) -> None:
    step(name="Switch to the generation", deploy=deploy, step_name="switch")


def prune(deploy: Deploy) -> None:
    step(name="Remove old generations", deploy=deploy, step_name="prune")
