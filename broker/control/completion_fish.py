"""The script by which fish completes."""

from collections.abc import Iterable, Mapping, Sequence

from broker.control.completion_words import COMMANDS, SHELLS, TOOLS, Flag, Tool


def script(tools: Mapping[str, Tool], serve: Sequence[Flag]) -> str:
    """Return it."""
    others = " ".join(name for name in COMMANDS if name != "serve")
    lines = [
        f"complete -c leveret -n '__fish_use_subcommand' -f -a {name} -d {quoted(text)}"
        for name, text in COMMANDS.items()
    ]
    lines += [option(f"not __fish_seen_subcommand_from {others}", flag) for flag in serve]
    lines.append("complete -c leveret -n '__fish_seen_subcommand_from doctor' -l json")
    lines.append(f"complete -c leveret -n '__fish_seen_subcommand_from completion' -f -a '{' '.join(SHELLS)}'")
    for name, tool in tools.items():
        lines += tool_lines(name, tool)
        lines += [f"complete -c {called} -w 'leveret {name}'" for called in TOOLS[name]]
    return "\n".join(lines)


def tool_lines(name: str, tool: Tool) -> Iterable[str]:
    """Return the lines of a command with verbs."""
    within = f"__fish_seen_subcommand_from {name}"
    yield f"set -g __leveret_{name} {' '.join(tool.words)}"
    for verb, word in tool.words.items():
        condition = f"{within}; and not __fish_seen_subcommand_from $__leveret_{name}"
        yield f"complete -c leveret -n '{condition}' -f -a {verb} -d {quoted(word.text)}"
    for flag in tool.common:
        yield option(within, flag)
    for verb, word in tool.words.items():
        seen = f"{within}; and __fish_seen_subcommand_from {verb}"
        for flag in word.flags:
            yield option(seen, flag)
        if word.following:
            yield f"complete -c leveret -n '{seen}' -f -a '{' '.join(word.following)}'"


def option(condition: str, flag: Flag) -> str:
    """Return the line of an option."""
    takes = "" if flag.is_switch else f" -x -a '{' '.join(flag.choices)}'" if flag.choices else " -r"
    text = f" -d {quoted(flag.text)}" if flag.text else ""
    return f"complete -c leveret -n '{condition}' -l {flag.name}{takes}{text}"


def quoted(text: str) -> str:
    """Return a text as fish has it in quotes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
