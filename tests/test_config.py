"""The settings: where values come from, which wins, and what is said about wrong ones."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from broker.config import Mark, Settings, SettingsError, allowed, flag_name, load, variable_name
from broker.settings_table import full_table, renewed

HOME = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("LEVERET_"):
            monkeypatch.delenv(name)


def toml(directory: Path, text: str) -> str:
    file = directory / "leveret.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def problems(**flags: object) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        load(flags)
    return raised.value.problems


def test_defaults_are_what_a_client_of_rabbitmq_expects() -> None:
    settings = load()
    assert (settings.host, settings.port) == ("*", 5672)
    assert (settings.default_user, settings.default_pass, settings.default_vhost) == ("guest", "guest", "/")
    assert settings.loopback_users == ("guest",)
    assert (settings.heartbeat_s, settings.channel_max, settings.frame_max) == (60, 2047, 131072)
    assert settings.data_dir == Path("leveret-data")


def test_each_place_goes_before_the_one_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = toml(tmp_path, "port = 1\nheartbeat_s = 1\nchannel_max = 1\n")
    monkeypatch.setenv("LEVERET_PORT", "2")
    monkeypatch.setenv("LEVERET_HEARTBEAT_S", "2")
    settings = load({"config": file, "port": "3"})
    assert (settings.port, settings.heartbeat_s, settings.channel_max) == (3, 2, 1)
    assert settings.frame_max == 131072


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_CONFIG", toml(tmp_path, "port = 7\n"))
    assert load().port == 7


def test_a_flag_names_the_file_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_CONFIG", str(tmp_path / "missing.toml"))
    assert load({"config": toml(tmp_path, "port = 7\n")}).port == 7


@pytest.mark.parametrize(
    ("text", "names"), [("none", ()), ("a", ("a",)), (" a, b ,", ("a", "b")), ("none,a", ("none", "a"))]
)
def test_names_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str, names: tuple[str, ...]) -> None:
    monkeypatch.setenv("LEVERET_LOOPBACK_USERS", text)
    assert load().loopback_users == names
    assert load({"loopback_users": text}).loopback_users == names


def test_names_in_the_file_are_a_list(tmp_path: Path) -> None:
    assert load({"config": toml(tmp_path, 'loopback_users = ["a", "b"]')}).loopback_users == ("a", "b")
    assert load({"config": toml(tmp_path, "loopback_users = []")}).loopback_users == ()


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_PORT", "")
    monkeypatch.setenv("LEVERET_CONFIG", "")
    assert load().port == 5672


def test_settings_cannot_be_changed() -> None:
    settings = load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("port", "abc", "port: 'abc' from --port is not allowed; it must be a whole number from 0 to 65535"),
        ("port", "65536", "port: '65536' from --port is not allowed; it must be a whole number from 0 to 65535"),
        ("port", "-1", "port: '-1' from --port is not allowed; it must be a whole number from 0 to 65535"),
        ("port", "1.5", "port: '1.5' from --port is not allowed; it must be a whole number from 0 to 65535"),
        (
            "log_level",
            "loud",
            "log_level: 'loud' from --log-level is not allowed; it must be debug, info, warning or error",
        ),
        (
            "handshake_timeout_s",
            "nan",
            "handshake_timeout_s: 'nan' from --handshake-timeout-s is not allowed; "
            "it must be a number above 0, up to 3600",
        ),
        ("host", "", "host: '' from --host is not allowed; it must be a text, not empty"),
    ],
)
def test_a_bad_value_is_named_with_its_place_and_what_is_allowed(key: str, value: str, line: str) -> None:
    assert problems(**{key: value}) == (line,)


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_FRAME_MAX", "1")
    (line,) = problems()
    assert line.startswith("frame_max: '1' from LEVERET_FRAME_MAX is not allowed; it must be a whole number from 4096")


def test_a_bad_key_of_the_file_is_named(tmp_path: Path) -> None:
    file = toml(tmp_path, "port = true\n")
    assert problems(config=file) == (
        f"port: True from {file!r} is not allowed; it must be a whole number from 0 to 65535",
    )


@pytest.mark.parametrize(
    "key", [key for key, field in Settings.model_fields.items() if field.annotation in (int, float)]
)
def test_true_is_not_one(tmp_path: Path, key: str) -> None:
    (line,) = problems(config=toml(tmp_path, f"{key} = true\n"))
    assert line.startswith(f"{key}: True from ")


def test_an_unknown_key_of_the_file_is_named_with_the_nearest(tmp_path: Path) -> None:
    file = toml(tmp_path, "prot = 5673\n")
    assert problems(config=file) == (f"prot: unknown setting (value 5673) in {file!r}; did you mean port?",)


def test_an_unknown_key_without_a_near_one_gets_the_whole_list(tmp_path: Path) -> None:
    (line,) = problems(config=toml(tmp_path, "colour = 1\n"))
    assert "allowed are host, port, plain_tcp, data_dir, " in line
    assert "config" not in line.partition("allowed are")[2]


def test_the_file_cannot_name_another(tmp_path: Path) -> None:
    (line,) = problems(config=toml(tmp_path, 'config = "other.toml"\n'))
    assert line.startswith("config: unknown setting")


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_PROT", "5673")
    assert problems() == (
        "LEVERET_PROT: unknown setting (value '5673') in the environment; did you mean LEVERET_PORT?",
    )


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_PROT", "1")
    lines = problems(config=toml(tmp_path, "colour = 1\nframe_max = 1\n"), port="x")
    assert [line.partition(":")[0] for line in lines] == ["LEVERET_PROT", "colour", "port", "frame_max"]


@pytest.mark.parametrize("name", ["LEVERET_DEFAULT_PASSWORD", "LEVERET_PASWORD", "LEVERET_TOKEN"])
def test_the_value_of_what_may_be_a_misspelt_password_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "hunter2")
    (line,) = problems()
    assert "hunter2" not in line


def test_a_password_is_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERET_DEFAULT_PASS", "hunter2")
    assert "hunter2" not in repr(load())
    assert problems(default_pass=["hunter2"]) == (
        "default_pass: the value from --default-pass is not allowed; it must be a text",
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"port = ", "Invalid value"), (b"port = 1\nport = 2", "Cannot overwrite"), (b"# \xff", "not UTF-8")],
)
def test_a_file_that_is_not_toml_is_told(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    (line,) = problems(config=str(file))
    assert line.startswith(f"config: cannot read {str(file)!r} ({problem}")
    assert line.endswith("; it must be a TOML file")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    file = str(tmp_path / "missing.toml")
    assert problems(config=file) == (
        f"config: cannot read {file!r} (No such file or directory); it must be a TOML file",
    )


def test_what_kubernetes_sets_for_a_service_of_our_name_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LEVERET_PORT": "tcp://10.0.0.1:5672",
        "LEVERET_SERVICE_HOST": "10.0.0.1",
        "LEVERET_SERVICE_PORT": "5672",
        "LEVERET_SERVICE_PORT_AMQP": "5672",
        "LEVERET_PORT_5672_TCP": "tcp://10.0.0.1:5672",
        "LEVERET_PORT_5672_TCP_ADDR": "10.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    assert load().port == 5672


@given(st.integers(-(2**70), 2**70))
def test_a_port_is_taken_as_it_is_or_refused(port: int) -> None:
    try:
        assert load({"port": str(port)}).port == port
    except SettingsError:
        assert not 0 <= port <= 65535


@given(st.sampled_from(sorted(Settings.model_fields)), st.text(max_size=20))
def test_no_text_breaks_the_settings(key: str, text: str) -> None:
    if key == "config":
        return
    try:
        load({key: text})
    except SettingsError as error:
        (line,) = error.problems
        assert line.startswith(f"{key}: ")
        assert "\n" not in line


def test_every_setting_can_be_described() -> None:
    for key, field in Settings.model_fields.items():
        assert field.description, key
        assert allowed(field), key


@pytest.mark.parametrize("page", ["docs/configuration.md", "README.md"])
def test_the_documented_settings_are_those_there_are(page: str) -> None:
    text = (HOME / page).read_text(encoding="utf-8")
    assert renewed(text) == text, "run `make docs`"


def test_the_table_has_every_name_and_no_flag_for_secrets() -> None:
    table = full_table()
    for key, field in Settings.model_fields.items():
        assert f"`{variable_name(key)}`" in table
        assert (f"`{flag_name(key)}`" in table) == (Mark.SECRET not in field.metadata)


def test_renewing_a_page_needs_both_marks() -> None:
    with pytest.raises(ValueError, match="made by"):
        renewed("no table here")
