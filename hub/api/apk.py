"""APK management: the newest build for devices and enrolment, uploads for the admin."""

import os
import stat
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, Response

from hub import apk, apk_files, enrol, ranges
from hub.api.types import BuildType, Done, Line, RequestId
from hub.auth import AdminOnly, Authorization, enrolment_token, is_admin, token_denied
from hub.context import record, request_id
from hub.device_auth import find_device
from hub.errors import Refused
from hub.ids import last4
from hub.refusals import APK_KEYS, failure
from hub.service import Hub, HubDep
from hub.store import Overloaded, Unavailable

router = APIRouter(tags=["apk"])


@dataclass(frozen=True, slots=True)
class Downloader:
    actor: str
    source: str
    token_id: str | None


async def _downloader(hub: Hub, request: Request, about: dict[str, Any]) -> Downloader:
    """Who downloads; also a token that is refused is told in `about`. Raises Refused."""
    if is_admin(hub, request):
        return Downloader("admin", "manual", None)
    token = enrolment_token(request)
    if token is not None:
        try:
            row = await hub.db.read(lambda conn: enrol.check_token(conn, token))
            return Downloader(f"token:{row['token_id']}", "enrollment", row["token_id"])
        except enrol.TokenRefused as error:
            if error.reason != "unknown":
                about |= {"token_id": last4(error.token_id), "source": "enrollment"}
                token_denied(error)
                raise error.answer() from None
    device = await find_device(hub, request)
    return Downloader(f"device:{device.device_id}", "manual", device.token_id)


@router.get("/v1/apk/download-latest", response_class=FileResponse)
async def download(hub: HubDep, request: Request, build_type: BuildType = "debug", _: Authorization = None) -> Response:
    """The newest APK: for an enrolment token, a device or the admin. Takes Range, If-Range and If-None-Match."""
    about: dict[str, Any] = {**dict.fromkeys(APK_KEYS), "build_type": build_type}
    try:
        hub.limit("device", request.client.host if request.client else "-")
        by = await _downloader(hub, request, about)
        about |= {"token_id": last4(by.token_id), "source": by.source}
        build = await hub.db.read(apk.latest(build_type))
        if build is None:
            raise Refused(404, "no_build", f"There is no {build_type} build; upload one (POST /admin/apk-builds).")
        about |= {key: build[key] for key in ("build_id", "version_code", "version_name")}
        response = _response(hub, build, request)
        if response.status_code == 304:
            return response
        part = _range(response, request, build["size"])
        event = {
            "build_id": build["build_id"],
            "source": by.source,
            "actor": by.actor,
            "request_id": request_id(),
        }
        new = await hub.db.write(apk.downloaded(event, part))
    except Exception as error:
        level, reason = failure(error)
        record("apk.download.fail", level, **about, reason=reason)
        raise
    if new:
        hub.metrics.apk_downloads.labels(hub.metrics.build_type(build_type), by.source).inc()
    record("apk.download", **about, resumed=not new)
    return response


def _range(response: Response, request: Request, size: int) -> int | None:
    """Leave of the request's Range what can be sent; its first byte, None: it is all. Raises Refused (416).

    Starlette, which sends the file, refuses where RFC 9110 ignores, and refuses ranges of which one is good.
    """
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
    whole = request.headers.get("if-range") not in {None, response.headers["etag"], response.headers["last-modified"]}
    asked = None if whole else ranges.asked(request.headers.get("range"), size)
    if asked == []:
        told = f"The range begins behind the end: the file has {size} bytes."
        raise Refused(416, "range_not_satisfiable", told, {"Content-Range": f"bytes */{size}"})
    if asked is not None:
        headers.append((b"range", f"bytes={','.join(f'{first}-{last}' for first, last in asked)}".encode()))
    request.scope["headers"] = headers
    return None if asked is None else min(first for first, _ in asked)


def _response(hub: Hub, build: dict[str, Any], request: Request) -> Response:
    path = apk_files.path_of(hub.settings.apk_dir, build["sha256"])
    etag = f'"{build["sha256"]}"'
    headers = {
        "etag": etag,
        "x-checksum-sha256": build["sha256"],
        "x-build-id": build["build_id"],
        "x-version-code": str(build["version_code"]),
        "cache-control": "private, no-cache",
    }
    offered = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in offered or offered == ["*"]:
        return Response(status_code=304, headers=headers)
    try:
        found = os.lstat(path)
    except OSError:
        raise Refused(503, "file_missing", "The build's file is not there; upload it again.") from None
    if not stat.S_ISREG(found.st_mode) or found.st_size != build["size"]:
        raise Refused(503, "file_changed", "The build's file is not what was uploaded; upload it again.")
    name = f"{build['version_code']}-{build['build_type']}.apk"
    return FileResponse(path, media_type=apk.CONTENT_TYPE, filename=name, stat_result=found, headers=headers)


VersionCode = Annotated[int, Query(ge=1, le=2_100_000_000)]
VersionName = Annotated[Line, Query(min_length=1, max_length=64)]


@router.post(
    "/admin/apk-builds",
    dependencies=[AdminOnly],
    tags=["admin"],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {apk.CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload(
    hub: HubDep, request: Request, version_code: VersionCode, version_name: VersionName, build_type: BuildType
) -> dict[str, Any]:
    """Upload a build: the APK is the body. The same upload again is the same build, and serves a retired one again."""
    values = {"version_code": version_code, "version_name": version_name, "build_type": build_type}
    try:
        build = await hub.apk_files.add(request.stream(), values)
    except (Refused, Overloaded, Unavailable) as error:
        level, reason = failure(error)
        record("admin.apk.upload.fail", level, **values, reason=reason)
        raise
    record("admin.apk.upload", build_id=build["build_id"], version_code=version_code, build_type=build_type)
    return build


@router.get("/admin/apk-builds", dependencies=[AdminOnly], tags=["admin"])
async def index(hub: HubDep) -> list[dict[str, Any]]:
    """The builds, newest first."""
    return await hub.db.read(apk.listed())


@router.delete("/admin/apk-builds/{build_id}", dependencies=[AdminOnly], tags=["admin"])
async def retire(hub: HubDep, build_id: RequestId) -> Done:
    """Retire a build: it is served no more, and its file is removed after an hour. Uploaded again it is back."""
    await hub.db.write(apk.retire(build_id))
    record("admin.apk.retire", build_id=build_id)
    return Done()
