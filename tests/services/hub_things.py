"""What things that provision themselves ask of a hub."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hub_support import ADMIN, RunningHub

NOT_FOUND = {"errorMsg": "Provision data was not found!", "status": "NOT_FOUND"}
Key = dict[str, str]


async def new_key(hub: RunningHub, **body: Any) -> Key:
    answer = await hub.client.post("/admin/provision-keys", json=body, headers=ADMIN)
    assert answer.status_code == 200
    return {"provisionDeviceKey": answer.json()["key"], "provisionDeviceSecret": answer.json()["secret"]}


async def ask(hub: RunningHub, body: Any) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await hub.client.post("/api/v1/provision", content=content)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def certificate(name: str = "eye") -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def fingerprint_of(pem: str) -> str:
    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()
