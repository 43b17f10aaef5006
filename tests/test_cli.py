"""The command as a user types it: help, version, and one line for what is wrong."""

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import broker
from broker import cli
from broker.config import Mark, Settings, flag_name
from broker.control.completion_words import COMMANDS
from tests.brokers import clean_environment

SECONDS = 30


def leveret(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "broker", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
        env=clean_environment() | environment,
    )


def test_the_installed_command_tells_its_version() -> None:
    command = Path(sysconfig.get_path("scripts")) / ("leveret.exe" if os.name == "nt" else "leveret")
    done = subprocess.run([command, "--version"], capture_output=True, encoding="utf-8", timeout=SECONDS, check=True)
    assert done.stdout == f"leveret {broker.__version__}\n"


def test_help_shows_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for key, field in Settings.model_fields.items():
        assert (flag_name(key) in text) == (Mark.SECRET not in field.metadata)
    for command in COMMANDS:
        assert command == "serve" or f"leveret{command}" in "".join(text.split()), command


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--port", "abc"], "port: 'abc' from --port is not allowed; it must be a whole number from 0 to 65535"),
        (["--prot", "1"], "--prot: unknown flag (value '1'); did you mean --port?"),
        (["--prot=1"], "--prot: unknown flag (value '1'); did you mean --port?"),
        (["serv"], f"serv: unknown command; allowed are {', '.join(COMMANDS)}"),
        (["--port"], "argument --port: expected one argument (see leveret --help)"),
        (["--por", "1"], "--por: unknown flag (value '1'); did you mean --port?"),
        (
            ["serve", "--log-format", "xml"],
            "log_format: 'xml' from --log-format is not allowed; it must be console or json",
        ),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_exit_code_2(arguments: list[str], line: str) -> None:
    done = leveret(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"leveret: {line}\n")


def test_a_password_has_no_flag() -> None:
    done = leveret("--default-pass", "hunter2")
    assert done.returncode == 2
    assert "hunter2" not in done.stderr


def test_a_wrong_variable_gets_one_line_and_exit_code_2() -> None:
    done = leveret(LEVERET_PORT="99999")
    assert done.returncode == 2
    assert done.stderr == (
        "leveret: port: '99999' from LEVERET_PORT is not allowed; it must be a whole number from 0 to 65535\n"
    )


def test_a_wrong_key_in_the_file_gets_one_line_and_exit_code_2(tmp_path: Path) -> None:
    file = tmp_path / "leveret.toml"
    file.write_text("prot = 1\n", encoding="utf-8")
    done = leveret("--config", str(file))
    assert done.returncode == 2
    assert done.stderr == f"leveret: prot: unknown setting (value 1) in {str(file)!r}; did you mean port?\n"


def test_settings_are_checked_before_anything_is_touched(tmp_path: Path) -> None:
    leveret("--data-dir", str(tmp_path / "data"), "--port", "-1")
    assert not (tmp_path / "data").exists()


def test_another_distributions_package_of_our_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "__init__.py").touch()
    # What PYTHONPATH names comes before the installed packages; -P keeps the working directory out of it.
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from broker.cli import main; raise SystemExit(main(['--port', '0']))"],
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
        env=clean_environment() | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == cli.BROKEN_INSTALLATION
    assert done.stderr.startswith("leveret: the package 'storage' must lie beside 'broker' in ")
    assert done.stderr.endswith(f"but it is in {tmp_path}; install leveret into an environment of its own\n")


def test_our_packages_lie_beside_each_other() -> None:
    assert cli.misplaced_packages() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_modules_are_loaded_ends_it_with_0(tmp_path: Path, number: signal.Signals) -> None:
    """As process 1 of a container it would not even notice one that it has no handler for."""
    script = f"""
import os, sys

class SendsSignal:
    def find_spec(self, name, path=None, target=None):
        if name == "broker.cli":
            os.kill(os.getpid(), {int(number)})

sys.meta_path.insert(0, SendsSignal())
sys.argv = ["leveret", "--data-dir", "data"]
from broker.command import main
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        timeout=30,
        check=False,
        env=clean_environment() | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert list(tmp_path.iterdir()) == []
