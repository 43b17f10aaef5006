"""rabbitmqadmin's options and variables: none is passed over in silence, and none tells a secret."""

import base64
import hashlib
from pathlib import Path

import pytest

from tests.brokers import RunningBroker
from tests.control.conftest import Ctl
from tests.control.test_admin_second import Admin, admin, listed, quiet

__all__ = ["admin", "quiet"]


@pytest.mark.parametrize(
    "text",
    ["password = hunter2\n", "[default]\npassword hunter2\n", "[default]\npassword = a\npassword = hunter2\n"],
)
def test_a_file_that_is_none_is_not_shown(run: Ctl, tmp_path: Path, text: str) -> None:
    file = tmp_path / "admin.conf"
    file.write_text(text)
    done = run("-c", str(file), "list", "queues", name="rabbitmqadmin")
    assert (done.code, done.out, done.err) == (1, "", f"*** {file}: not a config file\n")
    assert run("-c", str(file), "queues", "list", name="rabbitmqadmin").code == 2


@pytest.mark.parametrize(
    ("options", "hashed"), [((), hashlib.sha256), (("--hashing-algorithm", "SHA512"), hashlib.sha512)]
)
@pytest.mark.parametrize("password", ["secret", "a=b"])
def test_passwords_are_hashed_without_a_request(
    run: Ctl, options: tuple[str, ...], hashed: object, password: str
) -> None:
    """Port 1 has no broker: a request's path would be in the logs of proxies."""
    words = ("-P", "1", "--non-interactive", "passwords", "salt_and_hash", *options, password)
    done = run(*words, name="rabbitmqadmin")
    assert (done.code, done.err) == (0, "")
    octets = base64.b64decode(done.out.strip())
    assert octets[4:] == hashed(octets[:4] + password.encode()).digest()  # type: ignore[operator]
    assert run(*words, name="rabbitmqadmin").out != done.out, "each has salt of its own"


def test_rabbitmqctl_hashes_without_a_request_too(run: Ctl) -> None:
    done = run("--url", "http://guest:guest@localhost:1", "-q", "hash_password", "secret", name="rabbitmqctl")
    octets = base64.b64decode(done.out.strip())
    assert octets[4:] == hashlib.sha256(octets[:4] + b"secret").digest()


def test_variables_stand_for_options_that_are_not_given(
    run: Ctl, managed: RunningBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = str(managed.wait_for_event("HTTP")["port"])
    monkeypatch.setenv("RABBITMQADMIN_TARGET_HOST", "127.0.0.1")
    monkeypatch.setenv("RABBITMQADMIN_TARGET_PORT", port)
    monkeypatch.setenv("RABBITMQADMIN_NON_INTERACTIVE_MODE", "true")
    assert run("vhosts", "list", "--columns", "name", name="rabbitmqadmin").out.split() == ["/"]
    monkeypatch.setenv("RABBITMQADMIN_USERNAME", "nobody")
    monkeypatch.setenv("RABBITMQADMIN_PASSWORD", "hunter2")
    refused = run("vhosts", "list", name="rabbitmqadmin")
    assert (refused.code, refused.err) == (65, "*** the user or its password is wrong\n")
    assert run("-u", "guest", "-p", "guest", "vhosts", "list", name="rabbitmqadmin").code == 0
    file = tmp_path / "admin.conf"
    file.write_text("[here]\nusername = guest\npassword = guest\nport = 1\n")
    monkeypatch.setenv("RABBITMQADMIN_CONFIG_FILE_PATH", str(file))
    monkeypatch.setenv("RABBITMQADMIN_NODE_ALIAS", "here")
    assert run("vhosts", "list", name="rabbitmqadmin").code == 65, "variables go before the file"
    monkeypatch.delenv("RABBITMQADMIN_USERNAME")
    monkeypatch.delenv("RABBITMQADMIN_PASSWORD")
    assert run("vhosts", "list", name="rabbitmqadmin").code == 0
    monkeypatch.delenv("RABBITMQADMIN_TARGET_PORT")
    assert run("vhosts", "list", name="rabbitmqadmin").code == 74, "the file's port"
    monkeypatch.setenv("RABBITMQADMIN_BASE_URI", f"http://localhost:{port}/api")
    assert run("vhosts", "list", name="rabbitmqadmin").code == 0
    assert run("-P", "1", "vhosts", "list", name="rabbitmqadmin").code == 74, "arguments go before variables"
    monkeypatch.setenv("RABBITMQADMIN_TARGET_VHOST", "nosuch")
    assert run("queues", "declare", "--name", "q", name="rabbitmqadmin").code == 65
    monkeypatch.setenv("RABBITMQADMIN_USE_TLS", "hunter2")
    wrong = run("vhosts", "list", name="rabbitmqadmin")
    assert (wrong.code, wrong.err) == (2, "*** RABBITMQADMIN_USE_TLS has a value that is not allowed\n")


def test_options_about_the_connection_count_wherever_they_stand(admin: Admin) -> None:
    wrong = admin("queues", "list", "--username", "nobody", "--password", "x")
    assert (wrong.code, wrong.err) == (65, "*** the user or its password is wrong\n")
    assert admin("queues", "list", "-u", "nobody", "-p", "x").code == 65
    assert admin("list", "queues", "--columns", "name", "--username", "nobody").code == 65
    assert admin("queues", "list", "--port", "1").code == 74
    assert admin("queues", "declare", "--name", "q", "--username", "nobody").code == 65
    assert admin("health_check", "local_alarms", "--port", "1").code == 74
    assert admin("--insecure", "vhosts", "list").code == 0


def test_options_about_the_output_count_wherever_they_stand(admin: Admin) -> None:
    bare = admin("--non-interactive", "vhosts", "list").out
    assert "+--" not in bare
    for words in (
        "vhosts list --non-interactive",
        "vhosts list --table-style borderless",
        "list vhosts --non-interactive",
    ):
        assert admin(*words.split()).out == bare, words
    assert "+--" in admin("vhosts", "list", "--table-style", "ascii").out


def test_lists_have_columns_and_pages(admin: Admin, quiet: Admin) -> None:
    quiet("vhosts", "declare", "--name", "pages")
    within = ("--vhost", "pages")
    for name in ("a", "b", "c"):
        quiet(*within, "queues", "declare", "--name", name, "--type", "quorum")
    assert listed(admin, *within, "queues", "list", "--columns", "name") == [["a"], ["b"], ["c"]]
    assert listed(admin, *within, "list", "queues", "--columns", "name,queue_type")[0] == ["a", "quorum"]
    paged = ("queues", "list", "--columns", "name", "--page-size", "2")
    assert listed(admin, *within, *paged) == [["a"], ["b"]]
    assert listed(admin, *within, *paged, "--page", "2") == [["c"]]
    shown = ("--name", "a", "--columns", "name,queue_type")
    assert listed(admin, *within, "queues", "show", *shown) == [["a", "quorum"]]
    pattern = ("--pattern", "^a", "--definition", '{"max-length":5}', "--apply-to", "quorum_queues")
    quiet(*within, "policies", "declare", "--name", "some", *pattern)
    named = ("policies", "list_in", "--columns", "name")
    assert listed(admin, *within, *named) == [["some"]]
    assert listed(admin, *named) == [], "those of the default virtual host"
    assert listed(admin, *within, *named, "--apply-to", "exchanges") == []
    matching = ("policies", "list_matching_object")
    assert "some" in admin(*within, *matching, "--name", "a", "--type", "quorum_queues").out
    assert admin(*within, *matching, "--name", "b", "--type", "quorum_queues").out == "No items\n"
    assert admin(*within, *matching, "--name", "a", "--type", "exchanges").out == "No items\n"
    assert admin("parameters", "list", "--component", "nosuch").out == "No items\n"
    assert admin("list", "user_connections", "--username", "guest").code == 0
    quiet("vhosts", "enable_deletion_protection", "--name", "pages")
    assert admin("vhosts", "delete", "--name", "pages").code == 65
    quiet("vhosts", "disable_deletion_protection", "--name", "pages")
    quiet("vhosts", "delete", "--name", "pages")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("queues list --cheese x", '*** Argument "cheese" not recognised'),
        ("vhosts list --page 1", '*** Argument "page" not recognised'),
        ("queues list --page 0", "*** --page must be a whole number above 0"),
        ("queues list -Z", "*** unrecognized arguments: -Z"),
        ("queues list --table-style rococo", "*** argument --table-style: invalid choice"),
        ("queues show --name a --cheese x", '*** Argument "cheese" not recognised'),
        ("parameters list_in", "*** --component is required"),
        ("export --file x", '*** Argument "file" not recognised'),
        ("show churn --cheese x", '*** Argument "cheese" not recognised'),
        ("health_check local_alarms --cheese x", '*** Argument "cheese" not recognised'),
        ("passwords salt_and_hash --password secret", "*** the password is required"),
        ("passwords salt_and_hash --hashing-algorithm MD5 x", "*** there is no hashing algorithm MD5"),
        ("passwords salt_and_hash a b", "*** an argument is given twice"),
        ("shell completions --shell elvish", "*** there is no completion for elvish, but for bash, zsh and fish"),
        ("shell completions --cheese x", '*** Argument "cheese" not recognised'),
    ],
)
def test_what_the_second_version_does_not_know_ends_with_2(admin: Admin, words: str, text: str) -> None:
    done = admin(*words.split())
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert done.err.startswith(text)
    assert "secret" not in done.err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("-U", "http://bob:hunter2@h:abc", "list", "queues"), 1, "*** the base URI must be http://host:15672"),
        (("-U", "h:15672", "list", "queues"), 1, "*** the base URI must be http://host:15672"),
        (("-U", "http://[h", "queues", "list"), 2, "*** the base URI must be http://host:15672"),
        (("-H", "bad host", "list", "queues"), 1, "*** the host is not a host's name or address"),
        (("-H", "a..b", "list", "queues"), 1, "*** cannot reach the broker at http://a..b:15672: "),
        (("-P", "abc", "list", "queues"), 1, "*** the port must be a number from 1 to 65535"),
    ],
)
def test_places_that_are_none_are_told_in_one_line(run: Ctl, words: tuple[str, ...], code: int, text: str) -> None:
    done = run(*words, name="rabbitmqadmin")
    assert (done.code, done.out, len(done.err.splitlines())) == (code, "", 1)
    assert done.err.startswith(text)
    assert "hunter2" not in done.err


def test_a_url_with_a_host_that_is_none_is_told_in_one_line(run: Ctl) -> None:
    done = run("--url", "http://bad host:15672", "list_queues", name="rabbitmqctl")
    assert (done.code, len(done.err.splitlines())) == (64, 1)


@pytest.mark.parametrize("words", [("add_user", "", "p"), ("add_vhost", "")])
def test_names_must_not_be_empty(ctl: Ctl, words: tuple[str, ...]) -> None:
    done = ctl(*words)
    assert (done.code, done.out) == (65, "")
    assert done.err.endswith("name must not be empty\n")


def test_help_for_a_kind_tells_its_keys(run: Ctl) -> None:
    first = run("declare", "queue", "--help", name="rabbitmqadmin").out
    assert first.startswith("usage: rabbitmqadmin [options] declare queue name=... [auto_delete=...]")
    second = run("queues", "declare", "--help", name="rabbitmqadmin").out
    assert first.count("\n") == second.count("\n") == 1
    assert "subcommands:" in run("--help", name="rabbitmqadmin").out
