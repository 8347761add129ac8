"""The hub's settings: environment variables, a `.env` file for development, secrets also from files."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hub import checks

SECRETS: Final = ("database_url", "admin_token", "metrics_token", "mqtt_password")
"""Each may be in a file instead."""
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
DAY: Final = 86_400
Seconds = Annotated[float, Field(gt=0, le=365 * DAY, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]
PerMinute = Annotated[int, Field(ge=1, le=1_000_000_000)]


class SettingsError(Exception):
    """The environment does not make usable settings; the message names every variable that is wrong."""


class Files(BaseSettings):
    """Files that are there to serve with; other commands do without them."""

    model_config = SettingsConfigDict(env_prefix="HUB_", env_file=".env", extra="ignore", frozen=True)

    tls_cert: Path | None = None
    tls_key: Path | None = None
    mqtt_ca: Path | None = None
    page_config: Path | None = None
    fcm_credentials_file: Path | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _blank(cls, value: Any, info: ValidationInfo) -> Any:
        """What has no default is blank as well as not there."""
        unset = info.field_name is not None and cls.model_fields[info.field_name].default is None
        return None if unset and value == "" else value


class Settings(Files):
    """Every setting is `HUB_<NAME>`, but for `PROVISION_EVENT_LOG`; `HUB_<SECRET>_FILE` reads a secret from a file.

    What is wrong of one is found by a validator of its own, so that everything wrong is found at once.
    """

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    tls_host: str = "127.0.0.1"
    tls_port: int | None = Field(None, ge=0, le=65535)
    """Serve HTTPS here as well, and plain HTTP at `port`; without it, `port` is HTTPS when there is a certificate."""
    https_only: bool = False
    """Refuse plain HTTP (but for the health checks); a proxy on this machine may say `X-Forwarded-Proto: https`."""

    database_url: str = "sqlite:///data/hub.db"
    database_url_file: Path | None = None
    admin_token: SecretStr = SecretStr("")
    admin_token_file: Path | None = None
    metrics_token: SecretStr = SecretStr("")
    """Reads `/metrics` and nothing else; blank: only the admin token does."""
    metrics_token_file: Path | None = None
    docs: bool = True
    metrics: bool = True

    mqtt_url: str = ""
    """mqtt://user@host:1883 or mqtts://...; blank: no broker. The password may be in the URL or in its own setting."""
    mqtt_password: SecretStr = SecretStr("")
    mqtt_password_file: Path | None = None
    mqtt_client_id: str = Field("hub", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    mqtt_queue: int = Field(10_000, ge=1)

    provision_event_log: str = Field(
        "data/provisioning/events.jsonl",
        validation_alias=AliasChoices("PROVISION_EVENT_LOG", "HUB_PROVISION_EVENT_LOG", "provision_event_log"),
    )
    provision_event_log_bytes: int = Field(10 * 1024 * 1024, ge=0)
    """A fuller event log is rotated; 0: the hub leaves that to others."""
    provision_event_log_kept: int = Field(4, ge=0, le=100)
    provision_host: str = "127.0.0.1"
    provision_port: int | None = Field(None, ge=0, le=65535)
    provision_tls: bool = False
    """Speak TLS on the provisioning listener, with the hub's own certificate."""
    broker_users_file: Path | None = None
    """Where accounts of provisioned devices are written for the host's broker; blank: nowhere."""
    max_waits: int = Field(4_000, ge=1)
    """With TLS 45 KB each (measured); the deploy gives the hub 384 MB, of which 110 are taken at rest."""
    max_devices: int = Field(10_000, ge=1)

    tsdb_url: str = ""
    alertmanager_url: str = ""

    fcm_url: str = "https://fcm.googleapis.com"
    fcm_timeout: float = Field(10.0, gt=0, le=600)
    fcm_backoff: float = Field(1.0, gt=0, le=600)
    """Seconds that the pauses between attempts grow from."""
    run_timeout: float = Field(300.0, ge=0.1, le=DAY)
    """As a command may ask for."""
    dispatch_wait: float = Field(2.0, ge=0, le=30)
    """How long `/admin/command` waits to tell whether the command left; it is on disk before in any case."""

    apk_dir: Path = Path("data/apk")
    apk_max_bytes: int = Field(512 * 1024 * 1024, ge=1)
    run_max_bytes: int = Field(10 * 1024 * 1024, ge=1)
    device_silent_seconds: Seconds = 3600.0
    """Without a word for so long, a device's last status says nothing; the page's configuration may know better."""
    heartbeat_dedup_seconds: float = Field(10.0, ge=0, le=DAY)
    heartbeat_retention_days: Days = 90.0
    run_retention_days: Days = 90.0

    hmac_required: bool = False
    rate_register: PerMinute = 30
    rate_device: PerMinute = 600
    rate_login: PerMinute = 20
    rate_provision: PerMinute = 600
    """A fleet of cameras asks from one address; keys have more than 200 random bits, so that guessing is hopeless."""

    log_level: Level = "INFO"
    log_queue: int = Field(10_000, ge=1)

    _broker = field_validator("mqtt_url")(checks.broker_url)
    _outside = field_validator("tsdb_url", "alertmanager_url", "fcm_url")(checks.http_url)
    _database = field_validator("database_url")(checks.database_url)

    @model_validator(mode="before")
    @classmethod
    def _in_files(cls, data: Any) -> Any:
        """A secret that is not given itself is, for `_read`, the file that is named for it."""
        for name in SECRETS:
            path = data.get(f"{name}_file") if isinstance(data, dict) else None
            if path and not data.get(name):
                data[name] = Path(path)
        return data

    @field_validator(*SECRETS, mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Path):
            return value
        try:
            return value.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"HUB_{str(info.field_name).upper()}_FILE cannot be read: {error}") from None

    @field_validator("admin_token", "metrics_token")
    @classmethod
    def _token(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if value or info.field_name != "metrics_token":
            checks.token(f"HUB_{str(info.field_name).upper()}", value.get_secret_value())
        return value

    @field_validator("metrics_token")
    @classmethod
    def _another(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if value and value == info.data.get("admin_token"):
            raise ValueError("HUB_METRICS_TOKEN must not be the admin token: it is there to have fewer rights")
        return value

    @field_validator("tls_key")
    @classmethod
    def _pair(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data["tls_cert"] is None):
            raise ValueError("HUB_TLS_CERT and HUB_TLS_KEY belong together")
        return value

    @field_validator("tls_port", "provision_tls")
    @classmethod
    def _certified(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and value is not False and info.data["tls_cert"] is None:
            raise ValueError(f"HUB_{str(info.field_name).upper()} needs HUB_TLS_CERT and HUB_TLS_KEY")
        return value


def load(**given: Any) -> Settings:
    """The settings of the environment, with `given` put first. Raises SettingsError with all that is wrong."""
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            where = "_".join(str(part) for part in item["loc"]).upper()
            name = where if where == "PROVISION_EVENT_LOG" else f"HUB_{where.removeprefix('HUB_')}"
            told = item["msg"].removeprefix("Value error, ")
            lines.append(told if told.startswith("HUB_") else f"{name}: {told}")
        raise SettingsError("\n".join(lines)) from None
