"""The settings: one model, from which everything else about them is generated.

A field of ``Settings`` gives a setting's type, default, limits and meaning once. Its TOML key is the field's
name, its variable ``LEVERET_`` and the name in capitals, its flag ``--`` and the name with hyphens. The flags
(broker/cli.py) and the table in docs/configuration.md (broker/settings_table.py) come from the same fields.
Defaults < file < environment < flags.
"""

import difflib
import enum
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast, get_args, get_origin

import annotated_types
from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class Mark(enum.Enum):
    """What is special about a setting, beside its type."""

    SECRET = "never shown, and without a flag: any user of the machine can list a process's arguments"
    NOT_IN_FILE = "cannot be given in the TOML file"
    KEYS_URL = "where keys come from: nobody on the way may change them"


ANY_PORT: Final = -1
"""What stands for a free port where 0 stands for none."""

ENVIRONMENT_PREFIX: Final = "LEVERET_"

# Kubernetes gives every pod variables about the services beside it. For a service with the name leveret they
# begin as ours do (LEVERET_SERVICE_HOST, LEVERET_PORT_5672_TCP, LEVERET_PORT=tcp://10.0.0.1:5672); skip them.
SERVICE_LINK: Final = re.compile(r"LEVERET_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP))(_\w+)?", re.IGNORECASE)
SERVICE_URL: Final = re.compile(r"(tcp|udp|sctp)://")

# The value of a misspelt name is shown, but not when it may be a password.
SECRET_NAME: Final = re.compile(r"pas|pwd|secret|token|key", re.IGNORECASE)


BACKENDS: Final = ("internal", "oauth2")

Names = Annotated[tuple[str, ...], NoDecode]

NAME_LISTS: Final = (
    *("loopback_users", "auth_backends", "oauth2_signing_keys", "oauth2_algorithms", "oauth2_scope_aliases"),
    "oauth2_preferred_username_claims",
)


class SettingsError(Exception):
    """Settings that cannot be used; each of ``problems`` is a line naming key, value and what is allowed."""

    exit_code: Final = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """Every setting of the broker, checked and read-only.

    ``Settings(port=0)`` reads the environment, and the TOML file when one is named; ``load`` does the same
    and says in plain lines what is wrong.
    """

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    host: str = Field("*", min_length=1, description="Address to listen on; `*` is all, IPv4 and IPv6.")
    port: int = Field(5672, ge=0, le=65535, description="TCP port; 0 takes a free one and logs which.")
    plain_tcp: Literal["on", "off"] = Field("on", description="Whether that port is there; `off` is TLS alone.")
    data_dir: Path = Field(Path("leveret-data"), description="Directory of all data; made if missing.")
    config: Annotated[Path | None, Mark.NOT_IN_FILE] = Field(None, description="TOML file with settings.")
    rabbitmq_conf: Annotated[Path | None, Mark.NOT_IN_FILE] = Field(
        None, description="RabbitMQ's rabbitmq.conf; what Leveret's own settings say goes before it."
    )
    load_definitions: Path | None = Field(
        None, description="JSON file with RabbitMQ's definitions, or directory of such, imported at every start."
    )
    node_name: str = Field("", description="Name of the node; none is `rabbit@` and the host's name.")
    management_port: int = Field(
        15672, ge=-1, le=65535, description="Port of the HTTP API; 0 or `none` is none, `any` takes a free one."
    )
    metrics_port: int = Field(
        15692, ge=-1, le=65535, description="Port of the metrics for Prometheus; as `management_port`."
    )
    management_tls_port: int = Field(
        0, ge=-1, le=65535, description="Port of the HTTP API over TLS (15671, usually); as `management_port`."
    )
    metrics_tls_port: int = Field(
        0, ge=-1, le=65535, description="Port of the metrics over TLS (15691, usually); as `management_port`."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    log_format: Literal["console", "json"] = Field("console", description="Log lines for people or programs.")

    default_user: str = Field("guest", min_length=1, description="Name of the first user.")
    default_pass: Annotated[str, Mark.SECRET] = Field("guest", repr=False, description="Password of that user.")
    default_vhost: str = Field("/", min_length=1, description="Name of the first virtual host.")
    default_permissions: str = Field(
        ".* .* .*", pattern=r"^\S+ \S+ \S+$", description="Its patterns there: configure, write and read."
    )
    default_user_tags: str = Field("administrator", description="Its tags, with commas between.")
    loopback_users: Names = Field(("guest",), description="Users admitted only from the broker's own machine.")

    tls_port: int = Field(5671, ge=0, le=65535, description="TCP port for TLS, if there is a certificate; 0 as `port`.")
    tls_certificate: Path | None = Field(None, description="PEM file with the certificate, and those between.")
    tls_key: Path | None = Field(None, description="PEM file with its key; none if it is in the same file.")
    tls_key_pass: Annotated[str, Mark.SECRET] = Field("", repr=False, description="Password of that file.")
    tls_ca: Path | None = Field(None, description="PEM file with the authorities of clients' certificates.")
    tls_clients: Literal["ignore", "ask", "require"] = Field(
        "ignore", description="What becomes of their certificates."
    )
    tls_least_version: Literal["1.2", "1.3"] = Field("1.2", description="Oldest version of TLS spoken.")
    tls_login: Literal["common_name", "distinguished_name"] = Field(
        "common_name", description="What in a client's certificate is its user, for EXTERNAL."
    )

    management_tls_certificate: Path | None = Field(
        None, description="As `tls_certificate`, for HTTP; none is AMQP's certificate, key and authorities."
    )
    management_tls_key: Path | None = Field(None, description="As `tls_key`, for HTTP.")
    management_tls_key_pass: Annotated[str, Mark.SECRET] = Field("", repr=False, description="Password of that file.")
    management_tls_ca: Path | None = Field(None, description="As `tls_ca`, for HTTP.")
    management_tls_clients: Literal["ignore", "ask", "require"] = Field(
        "ignore", description="As `tls_clients`, for HTTP; a certificate logs nobody in there."
    )

    auth_backends: Names = Field(
        ("internal",), min_length=1, description="Who is asked about a login, in turn: `internal`, `oauth2`."
    )
    oauth2_resource_server_id: str = Field("", description="What this broker is to those who issue tokens: audience.")
    oauth2_issuer: Annotated[str, Mark.KEYS_URL] = Field(
        "", description="URL of who issues tokens; its keys are found from there."
    )
    oauth2_jwks_url: Annotated[str, Mark.KEYS_URL] = Field(
        "", description="URL (https or file) of its keys, a JSON Web Key Set."
    )
    oauth2_ca: Path | None = Field(
        None, description="PEM file with the authorities of these URLs; none is the system's."
    )
    oauth2_signing_keys: Names = Field(
        (), description="Its keys as PEM files: `id=path`; the files are read at the start and by SIGHUP."
    )
    oauth2_default_key: str = Field("", description="Id of the key of tokens that name none.")
    oauth2_algorithms: Names = Field(
        (), description="Algorithms that tokens may be signed with; none given is all that their keys are for."
    )
    oauth2_verify_aud: Literal["yes", "no"] = Field("yes", description="Whether a token must name us as its audience.")
    oauth2_scope_prefix: str | None = Field(
        None, description="What scopes for us begin with; if not set, `oauth2_resource_server_id` and a dot."
    )
    oauth2_scope_aliases: Names = Field(
        (), description="Scopes by other names: `name=scope`, with spaces between several scopes."
    )
    oauth2_additional_scopes_key: str = Field(
        "", description="Other claims with scopes, with spaces between them; dots go deeper."
    )
    oauth2_preferred_username_claims: Names = Field(
        (), description="Claims that name the user, before `sub` and `client_id`."
    )

    compat: Literal["3", "4.0", "4.3"] = Field("3", description="RabbitMQ's version whose refusals hold.")
    product: str = Field("RabbitMQ", min_length=1, description="Product that clients are told.")
    product_version: str = Field("", description="Its version that clients are told; none is `compat`'s.")

    heartbeat_s: int = Field(60, ge=0, le=65535, description="Heartbeat offered, in seconds; 0 is none.")
    connection_max: int = Field(
        0, ge=0, le=2**31 - 1, description="Connections of the node; 0 is as many as there are descriptors for."
    )
    channel_max: int = Field(2047, ge=0, le=65535, description="Channels of one connection; 0 is no limit.")
    frame_max: int = Field(131_072, ge=4096, le=2**31 - 1, description="Largest frame, in octets.")
    max_message_octets: int = Field(
        128 << 20, ge=1, le=512 << 20, description="Largest body, in octets; if not set, 16 MiB from `compat` 4.0 on."
    )
    handshake_timeout_s: float = Field(
        10.0, gt=0, le=3600, allow_inf_nan=False, description="Time to open a connection, in seconds."
    )
    consumer_timeout_ms: int = Field(
        0, ge=0, le=2**31 - 1, description="Time to settle a delivery in, in milliseconds; 0 is any time."
    )
    resident_octets: int = Field(
        128 << 20, ge=1 << 20, le=1 << 40, description="Waiting messages kept in memory, in octets."
    )
    segment_octets: int = Field(
        64 << 20, ge=1 << 16, le=1 << 30, description="Size at which the log begins a new segment, in octets."
    )

    durability: Literal["fsync", "os", "memory"] = Field(
        "fsync", description="What a confirm waits for: the disk, the operating system, or nothing (for tests)."
    )
    busy_polling: Literal["auto", "off"] = Field(
        "auto", description="Whether a broker that waits for quick answers may poll for them, where that is quicker."
    )
    message_sizes: Literal["on", "off"] = Field(
        "off", description="Whether sizes of messages are counted, for the metric rabbitmq_message_size_bytes."
    )
    disk_free_limit: int = Field(
        50_000_000, ge=0, le=1 << 60, description="Free disk space below which publishers must wait, in octets."
    )
    memory_high_watermark: float = Field(
        0.6,
        gt=0,
        le=1 << 50,
        allow_inf_nan=False,
        description="Memory above which publishers must wait: up to 1 a share of the machine's or container's,"
        " above it octets.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def refuse_truth_values(cls, value: object) -> object:
        """Refuse true and false: for a number, Python would read them as 1 and 0."""
        if isinstance(value, bool):
            raise ValueError("no setting is true or false")
        return value

    @field_validator("default_permissions")
    @classmethod
    def check_patterns(cls, value: str) -> str:
        """Refuse what is no regular expression."""
        for pattern in value.split():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r}: {error}") from None
        return value

    @field_validator("auth_backends")
    @classmethod
    def check_backends(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a backend that there is not."""
        for name in value:
            if name not in BACKENDS:
                raise ValueError(f"{name!r} is none of {', '.join(BACKENDS)}")
        return value

    @field_validator("oauth2_issuer", "oauth2_jwks_url")
    @classmethod
    def check_key_url(cls, value: str) -> str:
        """Refuse to fetch keys where anybody on the way could change them."""
        if value and not value.startswith(("https://", "file:///")):
            raise ValueError("it must begin with https://")
        return value

    @field_validator("oauth2_signing_keys", "oauth2_scope_aliases")
    @classmethod
    def check_pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse what is no name with something behind it."""
        for pair in value:
            name, _, meant = pair.partition("=")
            if not name.strip() or not meant.strip():
                raise ValueError(f"{pair!r}: it must be name=value")
        return value

    @field_validator("management_port", "metrics_port", "management_tls_port", "metrics_tls_port", mode="before")
    @classmethod
    def read_port_words(cls, value: object) -> object:
        """Read ``none`` as 0, no port, and ``any`` as -1, a free one."""
        return {"none": 0, "any": ANY_PORT}.get(value, value) if isinstance(value, str) else value

    @field_validator(*NAME_LISTS, mode="before")
    @classmethod
    def split_names(cls, value: object) -> object:
        """Read ``a,b`` as two names and ``none`` as no name, since flags and variables hold one text."""
        if not isinstance(value, str):
            return value
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        return () if names == ("none",) else names

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the file that one of the two names; the defaults come last."""
        variables = dict(env_settings())
        if is_service_link(variable_name("port"), str(variables.get("port"))):
            del variables["port"]
        file = init_settings().get("config") or variables.get("config")
        sources = (init_settings, Variables(settings_cls, variables))
        return sources if file is None else (*sources, TomlConfigSettingsSource(settings_cls, Path(file)))


class Variables(PydanticBaseSettingsSource):
    """The values that the environment gives, without those that are not meant for us."""

    def __init__(self, settings_cls: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self.values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self.values


def load(
    flags: Mapping[str, object] | None = None,
    fallback: Mapping[str, object] | None = None,
    places: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings in force: of flags (by field name), environment, file, fallback, default the first given.

    ``fallback`` has values by field name from elsewhere, and ``places`` says from where, for what is wrong with them.
    Raises SettingsError with a line for every key that is unknown and every value that is not allowed.
    """
    flags = flags or {}
    file = str(flags.get("config") or read_variable("config") or "")
    in_file = read_file(Path(file)) if file else {}
    problems = unknown_variables() + unknown_keys(in_file, file)
    used = {
        key: value
        for key, value in (fallback or {}).items()
        if key not in flags and key not in in_file and not read_variable(key)
    }
    try:
        settings = Settings(**cast("dict[str, Any]", {**used, **flags}))
    except ValidationError as invalid:
        wrong = dict.fromkeys(str(error["loc"][0]) for error in invalid.errors())
        problems += [
            bad_value(key, {key: used[key]}, {}, "", (places or {})[key])
            if key in used
            else bad_value(key, flags, in_file, file)
            for key in wrong
            if key in Settings.model_fields
        ]
        raise SettingsError(*problems) from None
    if problems:
        raise SettingsError(*problems)
    return settings


def read_file(file: Path) -> dict[str, Any]:
    """Return the keys of a TOML file. Raises SettingsError when it cannot be read as one."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problem = error.strerror or str(error)
    except UnicodeDecodeError:
        problem = "not UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = str(error)
    raise SettingsError(f"config: cannot read {str(file)!r} ({problem}); it must be a TOML file")


def read_variable(key: str) -> str | None:
    """Return what the environment gives for a setting; None when it gives nothing, or an empty text."""
    for name, value in os.environ.items():
        if name.upper() == variable_name(key) and not is_service_link(name, value):
            return value or None
    return None


def unknown_variables() -> list[str]:
    """Return a line for each environment variable that begins as ours do and is no setting."""
    known = [variable_name(key) for key in Settings.model_fields]
    return [
        f"{name}: unknown setting{shown(name, value)} in the environment; {nearest(name.upper(), known)}"
        for name, value in sorted(os.environ.items())
        if name.upper().startswith(ENVIRONMENT_PREFIX)
        and name.upper() not in known
        and not is_service_link(name, value)
    ]


def unknown_keys(in_file: Mapping[str, object], file: str) -> list[str]:
    """Return a line for each key of the file that is no setting, or one that a file cannot give."""
    known = [key for key, field in Settings.model_fields.items() if Mark.NOT_IN_FILE not in field.metadata]
    return [
        f"{key}: unknown setting{shown(key, value)} in {file!r}; {nearest(key, known)}"
        for key, value in in_file.items()
        if key not in known
    ]


def shown(name: str, value: object) -> str:
    """Return the value of an unknown setting as it is shown, nothing when it may be a secret."""
    return "" if SECRET_NAME.search(name) else f" (value {value!r})"


def nearest(name: str, known: list[str]) -> str:
    """Return the advice for an unknown name: the one that was probably meant, else all there are."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"did you mean {close[0]}?" if close else f"allowed are {', '.join(known)}"


def bad_value(
    key: str, flags: Mapping[str, object], in_file: Mapping[str, object], file: str, flag_place: str = ""
) -> str:
    """Return the line about a value that is not allowed: key, value, where it was given, what is allowed."""
    field = Settings.model_fields[key]
    value: object
    if key in flags:
        value, place = flags[key], flag_place or flag_name(key)
    elif (variable := read_variable(key)) is not None:
        value, place = variable, variable_name(key)
    else:
        value, place = in_file.get(key), repr(file)
    text = "the value" if Mark.SECRET in field.metadata else repr(value)
    return f"{key}: {text} from {place} is not allowed; it must be {allowed(field)}"


def allowed(field: FieldInfo) -> str:
    """Return in words what values a setting may have, from its type and limits."""
    kind = field.annotation
    limits = {type(limit): limit for limit in field.metadata}
    if Mark.KEYS_URL in field.metadata:
        return "a URL that begins with https:// or file:///"
    if get_origin(kind) is Literal:
        return " or ".join((", ".join(get_args(kind)[:-1]), get_args(kind)[-1]))
    if kind is int:
        return f"a whole number from {limits[annotated_types.Ge].ge} to {limits[annotated_types.Le].le}"
    if kind is float:
        return f"a number above {limits[annotated_types.Gt].gt:g}, up to {limits[annotated_types.Le].le:g}"
    if kind in (Path, Path | None):
        return "a path"
    if kind == tuple[str, ...]:
        return "names separated by commas" if annotated_types.MinLen in limits else "names separated by commas, or none"
    return "a text, not empty" if annotated_types.MinLen in limits else "a text"


def flag_name(key: str) -> str:
    """Return the flag of a setting: ``data_dir`` is ``--data-dir``."""
    return "--" + key.replace("_", "-")


def variable_name(key: str) -> str:
    """Return the environment variable of a setting: ``data_dir`` is ``LEVERET_DATA_DIR``."""
    return ENVIRONMENT_PREFIX + key.upper()


def is_service_link(name: str, value: str) -> bool:
    """Tell whether an environment variable is one that Kubernetes made for a service with our name."""
    if SERVICE_LINK.fullmatch(name):
        return True
    return name.upper() == variable_name("port") and SERVICE_URL.match(value) is not None
