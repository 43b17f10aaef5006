"""When certificates end, as their files say."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from broker.server.certificate_dates import expiries
from tests.tokens import ec_key

BROKEN = (b"", b"0", b"0\x82", b"0\x84\xff\xff\xff\xff", b"0\x00", b"\x00" * 50, b"0\x80" * 30)
DATES = [datetime(year, 2, 3, 4, 5, 6, tzinfo=UTC) for year in (1999, 2026, 2049, 2050, 2120)]


def certificate(ends: datetime, organisations: int = 1) -> bytes:
    """Return a certificate in PEM that ends then; its names are longer the more organisations are in them."""
    key = ec_key()
    named = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "a" * 60)] * organisations
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x"), *named])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(ends - timedelta(days=1)).not_valid_after(ends)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("organisations", [0, 1, 3, 10])
def test_each_certificate_of_a_file_has_its_end(tmp_path: Path, organisations: int) -> None:
    file = tmp_path / "chain.pem"
    file.write_bytes(b"text\n" + b"\n".join(certificate(ends, organisations) for ends in DATES))
    assert expiries(file) == DATES


def test_file_without_certificates_has_no_ends(tmp_path: Path) -> None:
    file = tmp_path / "empty.pem"
    file.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert expiries(file) == []


@pytest.mark.parametrize(
    "octets", [b"", b"0", b"0\x82", b"0\x84\xff\xff\xff\xff", b"0\x00", b"\x00" * 50, b"0\x80" * 9]
)
def test_what_is_no_certificate_is_told(tmp_path: Path, octets: bytes) -> None:
    file = tmp_path / "broken.pem"
    body = base64.b64encode(octets)
    file.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n")
    with pytest.raises(ValueError, match="has a certificate that cannot be read"):
        expiries(file)
