"""Deploy a studio: cd pyinfra && pyinfra @local deploy.py -y (or over SSH: pyinfra HOST deploy.py -y).

The studio is named by --data studio=NAME, by STUDIO in the environment, or is the only inventory there is. The host is
asked one question, and nothing more where everything is as it should be; a step that has nothing to do sends nothing.
Each step looks again at what there is when it runs, under the host's lock, so the next deploy finishes a killed one.
"""

from pyinfra import config

config.REQUIRE_PYINFRA_VERSION = ">=3.10,<3.11"

from steps import (  # noqa: E402 - pyinfra's version is checked first
    account,
    broker,
    extension,
    generation,
    images,
    packages,
    preflight,
    question,
    restart,
    secrets,
    tls,
)

deploy = question.ask()

preflight.check(deploy)
if not deploy.plan.empty:
    generation.upload(deploy)
    packages.install(deploy)
    account.make(deploy)
    images.get(deploy)
    extension.install(deploy)
    secrets.make(deploy)
    tls.make(deploy)
    generation.validate(deploy)
    generation.switch(deploy)
    broker.write_accounts(deploy)
    restart.changed(deploy)
    generation.prune(deploy)
