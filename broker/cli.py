"""The command line: ``leveret``, which is ``leveret serve``.

The flags are made from the settings' fields. What cannot work is told in one line each on standard error, and
by the exit code: 2 for the command line and the settings, else what the error says.
"""

import argparse
import gc
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NoReturn, get_args, get_origin

import broker
from broker import rabbitmq_conf
from broker.config import Mark, Settings, SettingsError, allowed, flag_name, load, nearest, shown
from broker.control.completion_words import COMMANDS, Flag
from broker.loading import loading_quickly
from broker.settings_table import shown_default

# Not the settings' 2: nothing that the user passed is wrong. sysexits.h: EX_SOFTWARE.
BROKEN_INSTALLATION: Final = 70

EPILOG: Final = (
    "Each setting is also a key of the TOML file (data_dir) and an environment variable (LEVERET_DATA_DIR). "
    "A flag goes before a variable, a variable before the file. "
    "Other commands: leveret ctl VERB commands a running broker (leveret ctl help lists the verbs), "
    "leveret admin is rabbitmqadmin, leveret plugins is rabbitmq-plugins, "
    "leveret doctor DIR looks at a data directory and changes nothing, "
    "leveret install-names DIR makes links with RabbitMQ's names, "
    "leveret completion bash|zsh|fish writes what a shell needs to complete all that."
)


class OneLineParser(argparse.ArgumentParser):
    """Tells a wrong command line in one line, without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["doctor"]:
        from broker import doctor

        return doctor.main(given[1:])
    if given[:1] == ["serve"]:
        del given[0]
    known, unknown = parser().parse_known_args(given)
    if unknown:
        return fail(SettingsError.exit_code, unknown_argument(unknown))
    flags = vars(known)
    try:
        file = flags.get("rabbitmq_conf") or os.environ.get("LEVERET_RABBITMQ_CONF")
        theirs = rabbitmq_conf.read(Path(file) if file else None, os.environ)
        settings = load(flags, theirs.values, theirs.places)
    except (SettingsError, rabbitmq_conf.ConfError) as error:
        return fail(SettingsError.exit_code, *error.problems)
    misplaced = misplaced_packages()
    if misplaced:
        return fail(BROKEN_INSTALLATION, *misplaced)
    files = [] if settings.config is None else [settings.config]
    return serve(settings, theirs.warnings, files + theirs.files)


def serve(settings: Settings, warnings: Sequence[str] = (), config_files: Sequence[Path] = ()) -> int:
    """Run the broker until it is told to stop; return the exit code. ``warnings`` are to be logged, and operators are
    told of the files that were read.
    """
    # What is made while starting stays, so there is no garbage to look for; the lifecycle enables it again.
    gc.disable()
    # Imported only now: --help needs none of it, and without the check above it could fail obscurely.
    with loading_quickly():
        from broker.server import lifecycle

    try:
        return lifecycle.run(settings, warnings, config_files)
    except lifecycle.START_ERRORS as error:
        return fail(error.exit_code, str(error))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command, with a flag for each setting that is no secret."""
    made = OneLineParser(
        prog="leveret",
        usage="%(prog)s [serve] [--port PORT] [--data-dir DIR] ...",
        description="A message broker that speaks AMQP 0-9-1.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    made.add_argument("--version", action="version", version=f"leveret {broker.__version__}")
    for key, field in Settings.model_fields.items():
        if Mark.SECRET in field.metadata:
            continue
        made.add_argument(
            flag_name(key),
            dest=key,
            default=argparse.SUPPRESS,
            metavar=metavar(key),
            help=f"{field.description} ({allowed(field)}; default {shown_default(field.default)})",
        )
    return made


def flags() -> list[Flag]:
    """Return the flags, for a shell to complete, with the values of those that take one of some words."""
    found = [Flag("version", True, text="Tell the version"), Flag("help", True, text="Tell the flags")]
    for key, field in Settings.model_fields.items():
        if Mark.SECRET not in field.metadata:
            choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
            if field.annotation is bool:
                choices = ("on", "off")
            name = flag_name(key).removeprefix("--")
            found.append(Flag(name, choices=tuple(map(str, choices)), text=field.description or ""))
    return found


def unknown_argument(unknown: list[str]) -> str:
    """Return the line about an argument that is none of ours."""
    name, equals, value = unknown[0].partition("=")
    if not name.startswith("-"):
        return f"{name}: unknown command; allowed are {', '.join(COMMANDS)}"
    if not equals and len(unknown) > 1:
        value = unknown[1]
    flags = [flag_name(key) for key, field in Settings.model_fields.items() if Mark.SECRET not in field.metadata]
    return f"{name}: unknown flag{shown(name, value)}; {nearest(name, flags)}"


def misplaced_packages() -> list[str]:
    """Return a line for each of our packages that is not the one installed beside this one.

    Their names are plain words; another distribution in the same environment may have brought its own.
    """
    home = Path(broker.__file__).resolve().parent.parent
    problems = []
    for name in ("protocol", "storage"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent.parent if spec is not None and spec.origin else None
        if found != home:
            problems.append(
                f"the package {name!r} must lie beside 'broker' in {home}, but it "
                + (f"is in {found}" if found else "is not there")
                + "; install leveret into an environment of its own"
            )
    return problems


def metavar(key: str) -> str:
    """Return the placeholder of a flag's value: ``DATA_DIR`` is shown as ``DIR``."""
    return key.rpartition("_")[2].upper() if key not in ("config",) else "FILE"


def fail(exit_code: int, *lines: str) -> int:
    """Tell what is wrong on standard error; return the exit code."""
    for line in lines:
        print(f"leveret: {line}", file=sys.stderr)  # noqa: T201 - the command's own output
    return exit_code
