"""``leveret ctl``, ``rabbitmqctl`` and ``rabbitmq-diagnostics``: from a command line to a verb that runs.

Options may stand anywhere, as with rabbitmqctl; every verb knows the common ones and its own.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from broker.control.client import TIMEOUT_S, Client, Place
from broker.control.failures import OK, USAGE, Failure, UsageFailure
from broker.control.output import FORMATTERS, Output
from broker.control.verb import Session, Verb

COMMON: Final = {
    "vhost": "vhost",
    "node": "node",
    "quiet": "",
    "silent": "",
    "timeout": "seconds",
    "formatter": "formatter",
    "no-table-headers": "",
    "table-headers": "",
    "url": "url",
    "data-dir": "dir",
    "help": "",
    "dry-run": "",
    # Accepted, for they say nothing to a broker of one node without Erlang.
    "longnames": "",
    "erlang-cookie": "cookie",
    "rabbitmq-home": "path",
    "mnesia-dir": "path",
    "enabled-plugins-file": "path",
    "aliases-file": "path",
    "script-name": "name",
    "print-stacktrace": "",
    "printer": "printer",
    "file": "path",
    "hide-headers": "",
}
SHORT: Final = {
    "p": "vhost",
    "n": "node",
    "q": "quiet",
    "s": "silent",
    "t": "timeout",
    "l": "longnames",
    "h": "help",
    "?": "help",
    # Of wait, and of delete_queue.
    "P": "pid",
    "e": "if-empty",
    "u": "if-unused",
}

HEAD: Final = """Usage: {program} [-p <vhost>] [-q] [-s] [--formatter table|json|csv] <verb> [<argument> ...]

Talks to the broker whose data are in --data-dir (or LEVERET_DATA_DIR, else ./leveret-data), by a socket that only its
owner can use; or with --url http://user:password@host:15672 (or LEVERET_URL, which no other user can read) to one
elsewhere. {program} help <verb> tells more about one.
"""

COMMON_HELP: Final = """Options of every verb:
  -p, --vhost <vhost>      the virtual host; / if not given
  -q, --quiet              say nothing but the answer
  -s, --silent             the same, and tables without a head
  --formatter <formatter>  table, json, csv, pretty_table or erlang
  --no-table-headers       tables without a head
  -t, --timeout <seconds>  how long to wait
  --data-dir <dir>         data directory of the broker on this machine
  --url <url>              HTTP API of a broker elsewhere
  -n, --node <node>        accepted; there is one node
"""


MODULES: Final = ("checks", "node", "users", "vhosts", "lists", "objects", "process", "cluster", "erlang")
"""Where verbs are, those of health checks first: they are looked for in turn, so that a check loads little."""


def verbs() -> dict[str, Verb]:
    """Return all verbs by name."""
    return {name: verb for module in MODULES for name, verb in verbs_of(module).items()}


def verbs_of(module: str) -> dict[str, Verb]:
    """Return the verbs of one file by name."""
    found: tuple[Verb, ...] = import_module(f"broker.control.verbs.{module}").VERBS
    return {verb.name: verb for verb in found}


def only_needed(arguments: Sequence[str]) -> dict[str, Verb]:
    """Return verbs, among them the one that is called: those of the file where it is, or all."""
    name = verb_in(arguments)
    if name is not None:
        for module in MODULES:
            known = verbs_of(module)
            if name in known:
                return known
    return verbs()


def main(arguments: Sequence[str], program: str = "leveret ctl", *, known: Mapping[str, Verb] | None = None) -> int:
    """Run a verb; return the exit code."""
    try:
        code = run(list(arguments), program, only_needed(arguments) if known is None else known)
        sys.stdout.flush()  # Here, where it is caught if nobody reads any more.
        return code
    except Failure as failure:
        if str(failure):
            print(f"Error: {failure}", file=sys.stderr)  # noqa: T201 - the command's own output
        return failure.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except KeyboardInterrupt:
        return 130


def run(arguments: list[str], program: str, known: Mapping[str, Verb]) -> int:
    """Find the verb, read its options and run it. Raises Failure."""
    name = verb_in(arguments)
    if name is None and not any(option_name(each) == "help" for each in arguments):
        show_help(program, known, [], Output(stream=sys.stderr))
        return USAGE
    if name is None or name == "help":
        return show_help(program, known, [each for each in arguments if not each.startswith("-") and each != "help"])
    if name == "autocomplete":
        prefix = arguments[arguments.index(name) + 1 :][:1]
        Output().line("\n".join(sorted(each for each in known if each.startswith(prefix[0] if prefix else ""))))
        return OK
    verb = known.get(name)
    if verb is None:
        from difflib import get_close_matches

        close = get_close_matches(name, known, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"{program} help lists them all"
        raise UsageFailure(f"Command '{name}' not found; {hint}")
    words, options = parse(arguments, verb)
    if "help" in options:
        return show_help(program, known, [name])
    words.remove(name)
    if len(words) < verb.least:
        raise UsageFailure("not enough arguments", verb.usage_line)
    if verb.most is not None and len(words) > verb.most:
        raise UsageFailure("too many arguments", verb.usage_line)
    output = output_for(options)
    if "dry-run" in options:
        return OK
    client = Client(place_of(options, os.environ), timeout_of(options))
    try:
        return verb.run(Session(verb, words, options, client, output)) or OK
    finally:
        client.close()


def verb_in(arguments: Sequence[str]) -> str | None:
    """Return the first word that is neither an option nor a common option's value."""
    rest = iter(arguments)
    for word in rest:
        name = option_name(word)
        if name is None:
            return word
        if "=" not in word and COMMON.get(name):
            next(rest, None)
    return None


def option_name(word: str) -> str | None:
    """Return the long name of an option; None for a word that is none."""
    if word.startswith("--") and len(word) > 2:
        return word[2:].partition("=")[0]
    if word.startswith("-") and len(word) == 2 and word[1] in SHORT:
        return SHORT[word[1]]
    return None


def parse(arguments: Sequence[str], verb: Verb) -> tuple[list[str], dict[str, str]]:
    """Return words and options. Raises UsageFailure for an option that the verb does not know."""
    allowed = {**COMMON, **verb.options}
    words: list[str] = []
    options: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            words.extend(rest)
            break
        name = option_name(word)
        if name is None:
            words.append(word)
            continue
        name = name.replace("_", "-")
        if name not in allowed:
            raise UsageFailure(f"Invalid options for this command: {word}", verb.usage_line)
        value = word.partition("=")[2]
        if allowed[name] and "=" not in word:
            given = next(rest, None)
            if given is None:
                raise UsageFailure(f"{word} needs a value: <{allowed[name]}>", verb.usage_line)
            value = given
        options[name] = value
    return words, options


def output_for(options: Mapping[str, str]) -> Output:
    """Return the output that the options want. Raises UsageFailure."""
    formatter = options.get("formatter", "table")
    if formatter not in FORMATTERS:
        raise UsageFailure(f"Formatter {formatter} not found; there are {', '.join(FORMATTERS)}")
    return Output(
        formatter,
        is_quiet="quiet" in options,
        is_silent="silent" in options,
        has_headers=not ("no-table-headers" in options or "hide-headers" in options),
    )


def place_of(options: Mapping[str, str], environment: Mapping[str, str]) -> Place:
    """Return where the broker is: a flag goes before a variable, and a data directory before a URL of the same rank."""
    if "data-dir" in options:
        return Place(Path(options["data-dir"]))
    if "url" in options:
        return Place(url=options["url"])
    directory = environment.get("LEVERET_DATA_DIR")
    if directory:
        return Place(Path(directory))
    return Place(url=environment.get("LEVERET_URL", ""))


def timeout_of(options: Mapping[str, str]) -> float | None:
    """Return how long to wait; ``infinity`` is as long as it takes. Raises UsageFailure."""
    text = options.get("timeout")
    if text is None:
        return TIMEOUT_S
    if text == "infinity":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 1e9:
        raise UsageFailure("--timeout must be a number of seconds, or infinity")
    return max(seconds, 0.001)


def unsaid_options(verb: Verb) -> list[tuple[str, str]]:
    """Return a verb's own options that its usage does not show: name, and what it takes or ""."""
    shown = verb.usage.replace("[", " ").replace("]", " ").split()
    return [(name, value) for name, value in verb.options.items() if f"--{name}" not in shown]


def show_help(program: str, known: Mapping[str, Verb], words: Sequence[str], output: Output | None = None) -> int:
    """Write the help, of one verb or of all."""
    output = output or Output()
    if words and words[0] in known:
        from broker.control.verbs.lists import COLUMNS

        verb = known[words[0]]
        output.line(f"Usage: {program} {verb.usage_line}\n\n{verb.summary}.\n")
        if verb.name in COLUMNS:
            output.line("Columns: " + ", ".join(COLUMNS[verb.name]) + "\n")
        more = [f"--{name} <{value}>" if value else f"--{name}" for name, value in unsaid_options(verb)]
        if more:
            output.line("Options of this verb: " + ", ".join(more) + "\n")
        output.line(COMMON_HELP)
        return OK
    if words:
        raise UsageFailure(f"Command '{words[0]}' not found; {program} help lists them all")
    output.line(HEAD.format(program=program))
    groups: dict[str, list[Verb]] = {}
    for verb in known.values():
        groups.setdefault(verb.group, []).append(verb)
    for group, members in groups.items():
        output.line(f"{group}:")
        for verb in members:
            output.line(f"  {verb.name:<32} {verb.summary}")
        output.line()
    output.line(COMMON_HELP)
    return OK
