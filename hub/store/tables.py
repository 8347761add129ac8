"""The tables. Times are milliseconds since the epoch (UTC); secrets are there as hashes only."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData()
Ms = BigInteger
_serial = BigInteger().with_variant(Integer, "sqlite")

devices: Final = Table(
    "devices",
    metadata,
    Column("device_id", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("alias", String(128)),
    Column("site", String(64)),
    Column("created_at", Ms, nullable=False),
    Column("registered_at", Ms),
    Column("revoked_at", Ms),
    Column("last_seen_at", Ms),
    Column("token_id", String(12), unique=True),
    Column("token_hash", String(64)),
    Column("fcm_token", String(4096)),
    Column("status", String(32)),
    Column("battery_pct", Integer),
    Column("network_type", String(32)),
    Column("uptime_s", BigInteger),
    Column("heartbeat_hash", String(64)),
    Column("heartbeat_at", Ms),
)

enrolment_tokens: Final = Table(
    "enrolment_tokens",
    metadata,
    Column("token_id", String(12), primary_key=True),
    Column("token_hash", String(64), nullable=False),
    Column("device_id", String(64)),
    Column("note", String(128)),
    Column("created_at", Ms, nullable=False),
    Column("expires_at", Ms, nullable=False),
    Column("consumed_at", Ms),
    Column("consumed_by", String(64)),
    Column("revoked_at", Ms),
)

nonces: Final = Table(
    "nonces",
    metadata,
    Column("nonce", String(80), primary_key=True),
    Column("used_at", Ms, nullable=False),
    Index("ix_nonces_used_at", "used_at"),
)

heartbeats: Final = Table(
    "heartbeats",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("device_id", String(64), ForeignKey("devices.device_id"), nullable=False),
    Column("heartbeat_id", String(64)),
    Column("request_id", String(64), nullable=False),
    Column("received_at", Ms, nullable=False),
    Column("status", String(32), nullable=False),
    Column("battery_pct", Integer),
    Column("network_type", String(32)),
    Column("uptime_s", BigInteger),
    UniqueConstraint("device_id", "heartbeat_id", name="uq_heartbeats_device_heartbeat"),
    Index("ix_heartbeats_received_at", "received_at"),
)

runs: Final = Table(
    "runs",
    metadata,
    Column("request_id", String(64), primary_key=True),
    Column("device_id", String(64), ForeignKey("devices.device_id"), nullable=False),
    Column("site", String(64)),
    Column("action", String(64), nullable=False),
    Column("params", Text, nullable=False),
    Column("protocol", String(8), nullable=False),
    Column("status", String(16), nullable=False),
    Column("error", String(256)),
    Column("result", Text),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("chunks", Integer, nullable=False, default=0),
    Column("timeout_ms", BigInteger, nullable=False),
    Column("created_at", Ms, nullable=False),
    Column("sent_at", Ms),
    Column("ended_at", Ms),
    Index("ix_runs_status", "status"),
    Index("ix_runs_created_at", "created_at"),
)

run_chunks: Final = Table(
    "run_chunks",
    metadata,
    Column("request_id", String(64), ForeignKey("runs.request_id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("stream", String(8), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("received_at", Ms, nullable=False),
)

apk_builds: Final = Table(
    "apk_builds",
    metadata,
    Column("build_id", String(32), primary_key=True),
    Column("version_code", BigInteger, nullable=False),
    Column("version_name", String(64), nullable=False),
    Column("build_type", String(16), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Ms, nullable=False),
    Column("retired_at", Ms),
    UniqueConstraint("version_code", "build_type", name="uq_apk_builds_version"),
)

apk_download_events: Final = Table(
    "apk_download_events",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("build_id", String(32), ForeignKey("apk_builds.build_id"), nullable=False),
    Column("source", String(16), nullable=False),
    Column("actor", String(80), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("created_at", Ms, nullable=False),
    Column("first_byte", BigInteger, nullable=False, server_default="0"),
    Index("ix_apk_download_events_actor", "build_id", "actor"),
)

provision_keys: Final = Table(
    "provision_keys",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("secret_hash", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("site", String(64)),
    Column("note", String(128)),
    Column("created_at", Ms, nullable=False),
    Column("revoked_at", Ms),
)

credentials: Final = Table(
    "credentials",
    metadata,
    Column("device_id", String(64), ForeignKey("devices.device_id"), primary_key=True),
    Column("type", String(32), nullable=False),
    Column("proof_hash", String(64), nullable=False),
    Column("login", String(256), nullable=False, unique=True),
    Column("login_hash", String(256)),
    Column("certificate", Text),
    Column("key", String(32), ForeignKey("provision_keys.key"), nullable=False),
    Column("created_at", Ms, nullable=False),
)

provision_audit: Final = Table(
    "provision_audit",
    metadata,
    Column("id", _serial, primary_key=True, autoincrement=True),
    Column("created_at", Ms, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("transport", String(8), nullable=False),
    Column("peer", String(64), nullable=False),
    Column("device_id", String(64)),
    Column("key_last4", String(4)),
    Column("result", String(16), nullable=False),
    Column("reason", String(128), nullable=False),
    Index("ix_provision_audit_created_at", "created_at"),
)
