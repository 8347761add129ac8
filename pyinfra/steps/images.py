"""Container images that the account lacks: loaded from an archive on the host, or pulled. One operation an image."""

from steps.question import Deploy
from steps.step import step


def get(deploy: Deploy) -> None:
    for component in deploy.manifest.quadlets:
        step(name=f"Get the image of {component.name}", deploy=deploy, step_name="images", component=component.name)
