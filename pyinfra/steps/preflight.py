"""Is this host fit? Every problem is told at once, before anything is changed."""

from collections.abc import Generator

from pyinfra.api import StringCommand, operation
from steps import remote
from steps.question import Deploy


@operation()
def _check(deploy: Deploy) -> Generator[StringCommand, None, None]:
    if deploy.plan.problems:
        yield remote.Shown(
            remote.sent_along("preflight"), _stdin=remote.parcel(deploy.rendered.program, deploy.question)
        )


def check(deploy: Deploy) -> None:
    _check(name="Compare the host with the studio", deploy=deploy)
