"""The script by which bash completes, and zsh by its bashcompinit."""

from collections.abc import Iterable, Mapping, Sequence

from broker.control.completion_words import COMMANDS, SHELLS, TOOLS, Flag, Tool


def script(tools: Mapping[str, Tool], serve: Sequence[Flag]) -> str:
    """Return it."""
    names = " ".join(name for called in TOOLS.values() for name in called)
    called = "\n".join(f'        {"|".join(TOOLS[name])}) tool="{name}" ;;' for name in tools)
    tools_found = "\n".join(
        f'        {name}) verbs="{" ".join(tool.words)}" flags="{options(tool.common)}" ;;'
        for name, tool in tools.items()
    )
    return f"""\
_leveret() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" place=1 tool=serve verb=""
    local words="" verbs="" flags=""
    if [[ "$before" == "=" ]]; then
        before="${{COMP_WORDS[COMP_CWORD-2]}}"
    elif [[ "$current" == "=" ]]; then
        current=""
    fi
    case "${{COMP_WORDS[0]##*/}}" in
{called}
        *)
            if [[ $COMP_CWORD -eq 1 && "$current" != -* ]]; then
                COMPREPLY=($(compgen -W "{" ".join(COMMANDS)}" -- "$current"))
                return
            fi
            case "${{COMP_WORDS[1]}}" in
                {"|".join(name for name in COMMANDS if name != "serve")}) tool="${{COMP_WORDS[1]}}"; place=2 ;;
            esac
            ;;
    esac
    case "$tool" in
        serve) flags="{options(serve)}" ;;
        doctor) flags="--json --help" ;;
        completion) words="{" ".join(SHELLS)}" ;;
{tools_found}
    esac
    if [[ -n "$verbs" ]]; then
        local each
        for ((each = place; each < COMP_CWORD; each++)); do
            if [[ " $verbs " == *" ${{COMP_WORDS[each]}} "* ]]; then
                verb="${{COMP_WORDS[each]}}"
                break
            fi
        done
        [[ -n "$verb" ]] || words="$verbs"
    fi
    case "$tool $verb" in
{verbs_of(tools)}
    esac
    case "$tool $before" in
{values_of(tools, serve)}
    esac
    [[ "$current" != -* ]] || words="$flags"
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _leveret leveret {names}"""


def options(flags: Iterable[Flag]) -> str:
    """Return options as they are written."""
    return " ".join(f"--{flag.name}" for flag in flags)


def verbs_of(tools: Mapping[str, Tool]) -> str:
    """Return the lines that tell what may follow a verb."""
    lines = []
    for name, tool in tools.items():
        for verb, word in tool.words.items():
            said = [f'words="{" ".join(word.following)}"'] if word.following else []
            said += [f'flags="{options(word.flags)} $flags"'] if word.flags else []
            if said:
                lines.append(f'        "{name} {verb}") {"; ".join(said)} ;;')
    return "\n".join(lines)


def values_of(tools: Mapping[str, Tool], serve: Sequence[Flag]) -> str:
    """Return the lines that tell the values of an option: some words, or whatever the shell finds."""
    # Options of one letter that take a value of their own.
    lines = [
        '        "ctl -p"|"ctl -n"|"ctl -t"|"plugins -n") words="" ;;',
        '        "admin -"[cNHPVupUtfSd]) words="" ;;',
    ]
    flags = {"serve": serve, **{name: tool.common for name, tool in tools.items()}}
    for name, found in flags.items():
        lines += [
            f'        "{name} --{flag.name}") words="{" ".join(flag.choices)}" ;;' for flag in found if flag.choices
        ]
        free = [f'"{name} --{flag.name}"' for flag in found if not flag.is_switch and not flag.choices]
        lines.append(f'        {"|".join(free)}) words="" ;;')
    return "\n".join(lines)
