"""``leveret completion bash|zsh``: what a shell needs to complete verbs."""

from collections.abc import Sequence
from typing import Final

from broker.control.failures import OK, USAGE

COMMANDS: Final = ("serve", "ctl", "admin", "plugins", "doctor", "install-names", "completion")
"""The first arguments of the command."""

SHELLS: Final = ("bash", "zsh")


def show(arguments: Sequence[str]) -> int:
    """Write the script; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        print("Usage: leveret completion bash|zsh, as in: source <(leveret completion bash)")  # noqa: T201
        return OK if arguments and arguments[0] in ("-h", "--help") else USAGE
    from broker.control.commands import COMMON, verbs

    words = " ".join(sorted(verbs()))
    options = " ".join(f"--{name}" for name in COMMON)
    script = f"""\
_leveret() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words="{words}"
    if [[ "$current" == -* ]]; then
        words="{options}"
    elif [[ "${{COMP_WORDS[0]##*/}}" == leveret && $COMP_CWORD -eq 1 ]]; then
        words="{" ".join(COMMANDS)}"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _leveret leveret rabbitmqctl rabbitmq-diagnostics"""
    if arguments[0] == "zsh":
        script = "autoload -U +X bashcompinit && bashcompinit\n" + script
    print(script)  # noqa: T201
    return OK
