"""Whom a certificate names, and which files TLS refuses to start with."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from broker.config import Settings
from broker.server.tls import TlsError, amqp_files, common_name, distinguished_name, new_context, peer_tls
from tests.brokers import clean_environment
from tests.certificates import Authority

SUBJECT = (
    (("countryName", "DE"),),
    (("organizationName", "Shop; + Co"),),
    (("organizationalUnitName", "a"), ("commonName", "b")),
    (("commonName", " client "),),
)


def test_distinguished_name_begins_with_the_innermost_part() -> None:
    assert distinguished_name(SUBJECT) == "CN=\\ client\\ ,OU=a+CN=b,O=Shop\\; \\+ Co,C=DE"


def test_common_names_are_joined() -> None:
    assert common_name(SUBJECT) == "b, client "
    assert common_name(((("organizationName", "x"),),)) == ""


def test_connection_without_tls_has_no_facts() -> None:
    assert peer_tls(None, "common_name") is None


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("names"))
    authority.sign("server", "/CN=localhost")
    authority.sign("other", "/CN=localhost")
    authority.sign("secret", "/CN=localhost", password="sesame")
    return authority


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"certificate": "none.pem"}, "tls_certificate: cannot read "),
        ({"certificate": "server.pem", "key": "none.key"}, "tls_key: cannot read "),
        ({"certificate": "server.pem", "key": "other.key"}, "tls_certificate: "),
        ({"certificate": "server.csr", "key": "server.key"}, "tls_certificate: "),
        ({"certificate": "secret.pem", "key": "secret.key"}, "tls_certificate: "),
        ({"certificate": "server.pem", "key": "server.key", "ca": "server.key", "clients": "ask"}, "tls_ca: "),
        ({"certificate": "server.pem", "key": "server.key", "clients": "require"}, "tls_ca: tls_clients is 'require'"),
    ],
)
def test_files_that_do_not_fit_are_told_in_one_line(authority: Authority, files: dict[str, str], said: str) -> None:
    with pytest.raises(TlsError) as raised:
        new_context(amqp_files(settings_of(authority, files)))
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_password_opens_the_key(authority: Authority) -> None:
    files = {"certificate": "secret.pem", "key": "secret.key", "key_pass": "sesame"}
    new_context(amqp_files(settings_of(authority, files)))


def settings_of(authority: Authority, files: dict[str, str]) -> Settings:
    plain = ("clients", "key_pass")
    values: dict[str, Any] = {
        f"tls_{name}": value if name in plain else authority.directory / value for name, value in files.items()
    }
    return Settings(**values)


def test_start_without_a_readable_certificate_ends_with_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "broker", "--port", "0", "--data-dir", str(tmp_path / "data")),
            *("--tls-certificate", str(tmp_path / "none.pem")),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
        env=clean_environment(),
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"leveret: tls_certificate: cannot read '{tmp_path / 'none.pem'}' (no such file or directory)\n"
    )
    assert not (tmp_path / "data").exists()
