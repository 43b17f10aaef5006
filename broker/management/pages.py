"""What people find who open the port in a browser: one page of what there is, and rabbitmqadmin to download.

``/cli/rabbitmqadmin`` is this broker's own command in one file, a zip that Python runs: the same code as ``leveret
admin``, which needs nothing but Python's standard library. None of it is RabbitMQ's.
"""

import io
import zipfile
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.responses import Response

import broker
from broker.management.call import Call
from broker.management.routing import Row

HERE: Final = Path(__file__).parent
PACKAGE: Final = Path(broker.__file__).parent
CARRIED: Final = (
    "__init__.py",
    *(
        f"control/{name}.py"
        for name in (
            *("__init__", "admin", "admin_connection", "admin_help", "admin_kinds", "admin_options", "admin_second"),
            *("client", "failures", "password_hash", "socket_path", "tables", "url_http"),
        )
    ),
)
"""What the command imports, by path in the package."""
MAIN: Final = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("rabbitmqadmin (of Leveret) needs Python 3.11 or newer")

from broker.control.admin import main

sys.exit(main(sys.argv[1:]))
"""
EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of all files in the zip, so that the same version is the same octets."""

DOWNLOAD_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>rabbitmqadmin</title>
<h1>rabbitmqadmin</h1>
<p><a href="rabbitmqadmin" download>Download it</a>, a single file that needs Python 3.11 or newer:</p>
<pre>
curl -O http://localhost:15672/cli/rabbitmqadmin
python3 rabbitmqadmin --help
</pre>
<p>It is Leveret's own, with the arguments of the first version of RabbitMQ's; that one works too, as does its successor
of the same name.</p>
</html>
"""


@cache
def command() -> bytes:
    """Return ``rabbitmqadmin`` as one file that Python runs."""
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("__main__.py", MAIN), *((f"broker/{each}", _source(each)) for each in CARRIED)):
            archive.writestr(zipfile.ZipInfo(name, EPOCH), text, zipfile.ZIP_DEFLATED)
    return b"#!/usr/bin/env python3\n" + octets.getvalue()


def _source(name: str) -> str:
    return (PACKAGE / name).read_text(encoding="utf-8")


@cache
def start_page() -> tuple[str, str]:
    """Return the page, and what it may do in a browser: run its own script, and ask this broker."""
    page = (HERE / "start_page.html").read_text(encoding="utf-8")
    script = page.partition("<script>")[2].partition("</script>")[0]
    mark = b64encode(sha256(script.encode()).digest()).decode()
    allowed = f"default-src 'none'; script-src 'sha256-{mark}'; style-src 'unsafe-inline'; connect-src 'self'"
    return page, f"{allowed}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def get_start_page(call: Call) -> Response:
    page, allowed = start_page()
    return Response(page, headers={"content-security-policy": allowed}, media_type="text/html")


def get_download_page(call: Call) -> Response:
    return Response(DOWNLOAD_PAGE, headers={"content-security-policy": "default-src 'none'"}, media_type="text/html")


def get_command(call: Call) -> Response:
    named = {"content-disposition": 'attachment; filename="rabbitmqadmin"'}
    return Response(command(), headers=named, media_type="application/octet-stream")


ROWS: Final = (
    Row("GET", "/", get_start_page, "A page for people", None),
    Row("GET", "/cli", get_download_page, "How to get rabbitmqadmin", None),
    Row("GET", "/cli/index.html", get_download_page, "How to get rabbitmqadmin", None),
    Row("GET", "/cli/rabbitmqadmin", get_command, "rabbitmqadmin, to be run by Python", None),
)
