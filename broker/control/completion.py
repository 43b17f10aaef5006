"""``leveret completion bash|zsh|fish``: what a shell needs to complete commands, verbs, their options and settings."""

from collections.abc import Callable, Sequence

from broker.control.completion_words import SHELLS, Flag, Tool, Word
from broker.control.failures import OK, USAGE


def show(arguments: Sequence[str], serve_flags: Callable[[], Sequence[Flag]]) -> int:
    """Write the script; return the exit code. ``serve_flags`` tells the flags of the broker itself."""
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        print(  # noqa: T201 - the command's own output
            f"Usage: leveret completion {'|'.join(SHELLS)}\n\n"
            "bash: source <(leveret completion bash)   zsh: the same with zsh, after compinit\n"
            "fish: leveret completion fish | source"
        )
        return OK if arguments and arguments[0] in ("-h", "--help") else USAGE
    print(script(arguments[0], serve_flags))  # noqa: T201
    return OK


def script(shell: str, serve_flags: Callable[[], Sequence[Flag]]) -> str:
    """Return the script for a shell; "" for one that there is none for."""
    if shell not in SHELLS:
        return ""
    made = {"ctl": ctl_tool(), "plugins": plugins_tool(), "admin": admin_tool()}
    flags = serve_flags()
    if shell == "fish":
        from broker.control.completion_fish import script as fish

        return fish(made, flags)
    from broker.control.completion_bash import script as bash

    # zsh reads bash's, by the part of it that is made for that.
    head = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return head + bash(made, flags)


def ctl_tool() -> Tool:
    """Return the verbs of rabbitmqctl and rabbitmq-diagnostics, with their options and columns."""
    from broker.control.commands import COMMON, verbs
    from broker.control.output import FORMATTERS
    from broker.control.verbs.lists import COLUMNS

    choices = {"formatter": FORMATTERS}
    common = tuple(Flag(name, not value, choices.get(name, ())) for name, value in COMMON.items())
    words = {
        name: Word(
            verb.summary,
            tuple(Flag(option, not value) for option, value in verb.options.items()),
            tuple(COLUMNS.get(name, ())),
        )
        for name, verb in verbs().items()
    }
    return Tool({**words, "help": Word("Tells more about a verb", (), tuple(words))}, common)


def plugins_tool() -> Tool:
    """Return the verbs of rabbitmq-plugins, and the plugins."""
    from broker.control.plugins import ACCEPTED, BUILT_IN, VERBS

    plugins = tuple(sorted((*BUILT_IN, *ACCEPTED)))
    words = {
        name: Word(verb.summary, tuple(Flag(option, not value) for option, value in verb.options.items()), plugins)
        for name, verb in VERBS.items()
    }
    return Tool(words, ctl_tool().common)


def flags_of(names: Sequence[str]) -> tuple[Flag, ...]:
    """Return options that take a value."""
    return tuple(Flag(name) for name in names)


def admin_tool() -> Tool:
    """Return the subcommands of rabbitmqadmin in both forms, the kinds of objects and the options."""
    from broker.control.admin import LISTS, parser
    from broker.control.admin_help import ALONE, KINDS, options_of
    from broker.control.admin_options import ACTIONS, GROUPS, OTHER_GROUPS

    words = {verb: Word("", flags_of(options_of(*kinds.values())), tuple(kinds)) for verb, kinds in KINDS.items()}
    words |= {name: Word("", flags_of(options_of(kind))) for name, kind in ALONE.items()}
    words |= {
        "list": Word("", (), tuple(LISTS)),
        "show": Word("", (), ("overview",)),
        **{name: Word("") for name in ("export", "import")},
    }
    for group, kind in GROUPS.items():
        found = [kinds[kind] for kinds in KINDS.values() if kind in kinds]
        words[group] = Word("", flags_of(options_of(*found)), tuple(ACTIONS))
    words |= {group: Word("") for group in OTHER_GROUPS}
    common = [
        Flag(name.removeprefix("--"), action.nargs == 0, (), action.help or "")
        for action in parser("rabbitmqadmin")._actions
        for name in action.option_strings
        if name.startswith("--")
    ]
    return Tool(words, tuple(common))
