"""One step of the plan as one pyinfra operation: no reason, no command."""

from collections.abc import Callable, Generator

from pyinfra import host, logger
from pyinfra.api import StringCommand, operation
from steps import remote
from steps.question import Deploy


@operation()
def step(
    deploy: Deploy, step_name: str, component: str | None = None, stdin: Callable[[], str] | None = None
) -> Generator[StringCommand, None, None]:
    """Run a step of hostctl on the host, if the plan has reasons for it.

    Args:
        component: do it for this one alone, for the reasons that name it.
        stdin: makes what the step reads; called late, so that no secret is kept where pyinfra could print it.
    """
    reasons = deploy.plan.steps.get(step_name, [])
    if component:
        reasons = [reason for reason in reasons if reason.split()[0] == component]
    for reason in reasons:
        logger.info(f"{host.print_prefix}{reason}")
    if reasons:
        line = remote.of_generation(
            deploy.manifest.generation,
            "step",
            step_name,
            deploy.manifest.generation,
            *([component] if component else []),
        )
        yield remote.Shown(line, _stdin=stdin() if stdin else None)
