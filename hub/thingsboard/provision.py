"""One provisioning request, from its bytes to its answer; there is always an answer."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from hub.context import record
from hub.ids import last4
from hub.store import Overloaded, Unavailable
from hub.thingsboard import accounts, store
from hub.thingsboard.request import BadRequest, Wanted, read

if TYPE_CHECKING:
    from hub.service import Hub

log = structlog.get_logger()
Answer = dict[str, Any]
NOT_FOUND: Final[Answer] = {"errorMsg": "Provision data was not found!", "status": "NOT_FOUND"}
FAILED: Final = "Failed to provision device!"


def failure(message: str) -> Answer:
    return {"errorMsg": message, "status": "FAILURE"}


async def provision(hub: "Hub", payload: bytes, transport: str, peer: str, request_id: str) -> Answer:
    """Answer a request; failures are written down, without secrets."""
    seen = store.Audit(request_id, transport, peer, None, None, "FAILURE", "")
    wait = hub.limits.provision.take(peer)
    if wait:
        hub.metrics.rate_limited.labels("provision").inc()
        record("sec.ratelimit", "warning", reason="provision", token_id=None)
        hub.metrics.provisions.labels(transport, "RATE_LIMITED").inc()
        return failure(f"Too many requests; try again in {wait} s.")
    try:
        wanted = read(payload)
        seen = replace(seen, device_id=wanted.name, key=wanted.key)
        answer, created = await _adopt(hub, wanted)
        record("provision.device", device_id=wanted.name, token_id=last4(wanted.key), created=created)
        hub.metrics.provisions.labels(transport, "SUCCESS").inc()
        return answer
    except BadRequest as error:
        seen, answer = replace(seen, reason=str(error)), failure(f"{FAILED} {error}.")
    except store.NotFound as error:
        seen, answer = replace(seen, result="NOT_FOUND", reason=str(error)), NOT_FOUND
    except store.Failure as error:
        seen, answer = replace(seen, reason=str(error)), failure(FAILED)
    except (Overloaded, Unavailable):
        seen, answer = replace(seen, reason="the database is away"), failure("The hub is busy; try again.")
    except Exception as error:
        log.error("provision.error", exc_info=error)
        seen, answer = replace(seen, reason="error"), failure("The hub failed; its log says why.")
    await _denied(hub, seen)
    return answer


async def _adopt(hub: "Hub", wanted: Wanted) -> tuple[Answer, bool]:
    await hub.db.read(store.check_key(wanted))
    if wanted.type == "X509_CERTIFICATE":
        login_hash = accounts.hash_of_none()  # anybody may know a certificate: it is no password
    else:
        login_hash = await asyncio.to_thread(accounts.broker_hash, wanted.proof)
    created = await hub.db.write(store.adopt(wanted, login_hash))
    await hub.accounts.publish()
    return {"credentialsType": wanted.type, "credentialsValue": wanted.value, "status": "SUCCESS"}, created


async def _denied(hub: "Hub", seen: store.Audit) -> None:
    hub.metrics.provisions.labels(seen.transport, seen.result).inc()
    about = {"reason": seen.reason, "token_id": last4(seen.key), "device_id": seen.device_id}
    record("sec.provision.denied", "warning", **about, result=seen.result, peer=seen.peer)
    try:
        await hub.db.write(store.audit(seen))
    except Exception as error:
        log.error("provision.audit.fail", reason=str(error)[:200])
