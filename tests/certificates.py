"""Certificates for tests, made by the ``openssl`` command: an authority, and what it signs for servers and clients."""

import ssl
import subprocess
from pathlib import Path


class Authority:
    """A certificate authority whose files are in ``directory``."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self.directory = directory
        self.certificate = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        directory.mkdir(parents=True, exist_ok=True)
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            # Python 3.13 and its successors ask for it.
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-subj", f"/CN={name}", "-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def sign(self, name: str, subject: str, password: str = "") -> tuple[Path, Path]:
        """Return the files of a certificate for ``subject`` and of its key, valid for 127.0.0.1 and localhost too."""
        certificate, key, request = (self.directory / f"{name}{end}" for end in (".pem", ".key", ".csr"))
        extensions = self.directory / "extensions"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
        secrecy = ("-passout", f"pass:{password}") if password else ("-nodes",)
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *secrecy),
            *("-utf8", "-subj", subject, "-keyout", str(key), "-out", str(request)),
        )
        openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key)),
            *("-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(certificate)),
        )
        return certificate, key

    def client_context(self, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
        """Return what a client connects with that trusts this authority, and shows a certificate if given one."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        return context


def openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
