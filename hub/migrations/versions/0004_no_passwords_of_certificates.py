"""The broker account of a certificate has no password: it had one that was made of the certificate, which is public"""

import base64
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    credentials = sa.table("credentials", sa.column("device_id"), sa.column("type"), sa.column("login_hash"))
    certificates = sa.select(credentials.c.device_id).where(credentials.c.type == "X509_CERTIFICATE")
    for (device_id,) in op.get_bind().execute(certificates).all():
        salt, key = (base64.b64encode(secrets.token_bytes(length)).decode() for length in (12, 64))
        change = sa.update(credentials).where(credentials.c.device_id == device_id)
        op.execute(change.values(login_hash=f"{salt}:1000:{key}"))


def downgrade() -> None:
    """Nobody misses these passwords."""
