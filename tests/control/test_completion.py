"""Shells complete commands, verbs, their options and the broker's flags: asked of the shells themselves."""

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.config import Mark, Settings, flag_name
from broker.control.commands import verbs
from tests.control.conftest import Ctl

CASES = [
    ("leveret c", ["completion", "ctl"]),
    ("leveret --por", ["--port"]),
    ("leveret serve --data", ["--data-dir"]),
    ("leveret serve --durability ", ["fsync", "memory", "os"]),
    ("leveret --message-sizes ", ["off", "on"]),
    ("leveret ctl list_q", ["list_queues"]),
    ("leveret ctl set_policy --app", ["--apply-to"]),
    ("leveret completion ", ["bash", "fish", "zsh"]),
    ("rabbitmqctl delete_queue --if", ["--if-empty", "--if-unused"]),
    ("rabbitmqctl list_queues messages_r", ["messages_ram", "messages_ready", "messages_ready_ram"]),
    ("rabbitmqctl list_queues --formatter pre", ["pretty_table"]),
    ("rabbitmqctl help list_ex", ["list_exchanges"]),
    ("rabbitmq-diagnostics check_port", ["check_port_connectivity", "check_port_listener"]),
    ("rabbitmq-upgrade dra", ["drain"]),
    ("rabbitmq-plugins enable rabbitmq_man", ["rabbitmq_management", "rabbitmq_management_agent"]),
    ("rabbitmqadmin declare que", ["queue"]),
    ("rabbitmqadmin queues de", ["declare", "delete"]),
    ("rabbitmqadmin --non", ["--non-interactive"]),
    ("rabbitmqadmin queues declare --nam", ["--name"]),
]


@pytest.fixture
def script(run: Ctl, tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes the script for a shell into a file."""

    def write(shell: str) -> Path:
        done = run("completion", shell)
        assert done.code == 0
        path = tmp_path / shell
        path.write_text(done.out)
        return path

    return write


def told_by(shell: str, *arguments: str) -> list[str]:
    """Return the lines that a shell prints. Skips where it is not installed."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: its completion is not tried")
    done = subprocess.run([shell, *arguments], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_bash_completes(script: Callable[[str], Path]) -> None:
    lines = [f"source {script('bash')}"]
    for line, _ in CASES:
        words = shlex.split(line) + ([""] if line.endswith(" ") else [])
        lines.append(f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}")
        lines.append("COMPREPLY=(); _leveret; echo ${COMPREPLY[*]}")
    shown = told_by("bash", "-c", "\n".join(lines))
    assert [sorted(line.split()) for line in shown] == [wanted for _, wanted in CASES]


def test_fish_completes(script: Callable[[str], Path]) -> None:
    asked = [f"echo (complete -C {shlex.quote(line)} | string split -f1 \\t)" for line, _ in CASES]
    shown = told_by("fish", "-c", "\n".join([f"source {script('fish')}", *asked]))
    assert [sorted(line.split()) for line in shown] == [wanted for _, wanted in CASES]


def test_zsh_completes_with_what_bash_has(script: Callable[[str], Path]) -> None:
    """In zsh, completing needs a terminal; that its bashcompinit takes the function is what is tried here."""
    commands = f"autoload -U compinit && compinit -u -D && source {script('zsh')} && whence -w _leveret && "
    commands += "print $_comps[rabbitmqctl]"
    assert told_by("zsh", "-f", "-c", commands) == ["_leveret: function", "_bash_complete -o default -F _leveret"]


def test_nothing_is_left_out(run: Ctl) -> None:
    """Every verb, every option of its own, every flag that is no secret."""
    flags = [flag_name(key) for key, field in Settings.model_fields.items() if Mark.SECRET not in field.metadata]
    for shell in ("bash", "fish"):
        text = run("completion", shell).out
        words = set(text.replace('"', " ").replace("'", " ").split())
        assert set(verbs()) <= words
        options = {option for verb in verbs().values() for option in verb.options}
        hyphens = "--" if shell == "bash" else ""
        assert {hyphens + option for option in options} <= words
        assert {hyphens + flag.removeprefix("--") for flag in flags} <= words
    assert run("ctl", "autocomplete", "list_q").out == "list_queues\n"


def test_only_shells_that_are_known_get_a_script(run: Ctl) -> None:
    assert run("completion").code == run("completion", "tcsh").code == 64
    assert run("completion", "--help").code == 0


def test_rabbitmqadmin_writes_the_same_for_the_shell_that_is_named_or_in_use(
    run: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def admin(*words: str) -> str:
        done = run("shell", "completions", *words, name="rabbitmqadmin")
        assert (done.code, done.err) == (0, "")
        return done.out

    for shell in ("bash", "fish", "zsh"):
        wanted = run("completion", shell).out
        assert admin("--shell", shell) == wanted
        monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
        assert admin() == wanted
    monkeypatch.delenv("SHELL")
    assert admin() == run("completion", "bash").out
