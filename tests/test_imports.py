"""The house rules that a look at the source can check: who imports whom, and how long a file may be.

docs/architecture.md gives the reasons. Names that are imported only for type checkers count like all others:
a type is knowledge too. The one exception is a pair of modules in one package that hold references to each
other's objects; only the import at run time has a direction there.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

HOME = Path(__file__).resolve().parent.parent
OURS = ("protocol", "storage", "broker", "conformance", "bench", "tests")
LINES_MAX = 600

# For each part of the house: which of our parts it may import. The longest prefix that matches a module counts.
MAY_IMPORT = {
    "protocol": ("protocol",),
    "storage": ("storage",),
    "broker": (),
    "broker.config": (),
    "broker.settings_table": ("broker.config",),
    "broker.cli": (
        "broker.__init__",
        "broker.config",
        "broker.control.completion_words",
        "broker.loading",
        "broker.rabbitmq_conf",
        "broker.settings_table",
        "broker.doctor",
        "broker.server.lifecycle",
    ),
    "broker.doctor": ("storage",),
    "broker.rabbitmq_conf": ("broker.server.resources",),
    "broker.command": ("broker.cli", "broker.control", "broker.loading"),
    "broker.__main__": ("broker.command",),
    "broker.control": ("broker.control",),
    "broker.control.actions": ("broker.__init__", "broker.config", "broker.control", "broker.server", "protocol"),
    "broker.control.server": ("broker.control", "broker.management"),
    "broker.core": ("broker.core", "protocol", "storage"),
    "broker.server": ("broker.__init__", "broker.config", "broker.core", "broker.server", "protocol", "storage"),
    "broker.server.lifecycle": (
        *("broker.__init__", "broker.config", "broker.control", "broker.management", "broker.server"),
        *("protocol", "storage"),
    ),
    "broker.management": (
        *("broker.__init__", "broker.config", "broker.core", "broker.management", "broker.server"),
        *("protocol", "storage"),
    ),
    "conformance": ("conformance",),
    "bench": ("bench",),
    "tests": OURS,
}

# Only the lifecycle and the control socket start the management part.
MANAGEMENT_IMPORTERS = ("broker.management", "broker.control.server", "broker.server.lifecycle", "tests")

# Parts without input and output, and what they must therefore not import.
WITHOUT_IO = ("protocol", "broker.core")
IO_MODULES = ("asyncio", "logging", "selectors", "socket", "ssl", "structlog", "threading", "time")

# Modules outside the standard library that each part may import.
THIRD_PARTY = {
    "protocol": ("pamqp",),
    "storage": ("isal",),
    "broker": ("annotated_types", "pamqp", "pydantic", "pydantic_settings", "structlog", "uvloop"),
    "broker.core": ("pamqp",),
    "broker.core.access.tokens": ("cryptography", "jwt"),
    "broker.control": (),
    "broker.control.actions": ("structlog",),
    "broker.control.server": ("starlette", "structlog", "uvicorn"),
    "broker.management": ("prometheus_client", "starlette", "structlog", "uvicorn"),
    "conformance": ("pika", "rich"),
}

# pamqp's decoder is behind these alone; others may know its method classes.
PAMQP_CODEC = ("pamqp.decode", "pamqp.encode", "pamqp.frame")


class Import(NamedTuple):
    """One import statement's target, and where it stands."""

    module: str
    target: str
    line: int
    for_types_only: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(HOME).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, Path]:
    return {module_name(path): path for part in OURS for path in sorted((HOME / part).rglob("*.py"))}


def imports_in(module: str, tree: ast.AST, for_types_only: bool = False) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(module, name.name, node.lineno, for_types_only)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports by a relative name"
            for name in node.names:
                within = f"{node.module}.{name.name}"
                target = within if within in sources() else str(node.module)
                yield Import(module, target, node.lineno, for_types_only)
        else:
            is_guard = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            yield from imports_in(module, node, for_types_only or is_guard)


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(
        found
        for module, path in sources().items()
        for found in imports_in(module, ast.parse(path.read_text(encoding="utf-8"), str(path)))
    )


def is_within(module: str, part: str) -> bool:
    return module == part or module.startswith(part + ".")


def rule_for(module: str, rules: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    parts = [part for part in rules if is_within(module, part)]
    return rules[max(parts, key=len)] if parts else None


def is_ours(target: str) -> bool:
    return target.partition(".")[0] in OURS


def is_allowed(found: Import) -> bool:
    """Tell whether the rule names the target; ``broker.__init__`` is that file alone, not all that is within."""
    allowed = rule_for(found.module, MAY_IMPORT) or ()
    if found.target == "broker" and "broker.__init__" in allowed:
        return True
    return any(is_within(found.target, part) for part in allowed)


def test_there_is_source_to_look_at() -> None:
    assert {"broker.config", "broker.server.lifecycle", "protocol.errors", "storage.errors"} <= set(sources())


def test_imports_run_one_way() -> None:
    wrong = [str(found) for found in all_imports() if is_ours(found.target) and not is_allowed(found)]
    assert not wrong


def test_only_the_lifecycle_starts_management() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if is_within(found.target, "broker.management")
        and not any(is_within(found.module, part) for part in MANAGEMENT_IMPORTERS)
    ]
    assert not wrong


def test_protocol_and_core_import_nothing_that_does_io_or_tells_the_time() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if any(is_within(found.module, part) for part in WITHOUT_IO) and found.target.partition(".")[0] in IO_MODULES
    ]
    assert not wrong


def test_only_the_clock_the_log_and_measurements_read_the_time() -> None:
    readers = (
        "broker.server.clock",
        "broker.server.logs",
        "broker.control.verbs",
        "storage",
        "bench",
        "conformance",
        "tests",
    )
    wrong = [
        str(found)
        for found in all_imports()
        if found.target == "time" and not any(is_within(found.module, part) for part in readers)
    ]
    assert not wrong


def test_each_part_uses_only_its_own_libraries() -> None:
    wrong = []
    for found in all_imports():
        library = found.target.partition(".")[0]
        allowed = rule_for(found.module, THIRD_PARTY)
        is_library = library not in sys.stdlib_module_names and not is_ours(library)
        if is_library and allowed is not None and library not in allowed:
            wrong.append(str(found))
    assert not wrong


def test_pamqps_codec_is_used_by_the_protocol_only() -> None:
    wrong = [
        str(found)
        for found in all_imports()
        if found.target in PAMQP_CODEC
        and not is_within(found.module, "protocol")
        and not is_within(found.module, "tests")
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in sources()}
    for found in all_imports():
        if found.target in graph and found.target != found.module and not found.for_types_only:
            graph[found.module].add(found.target)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            pytest.fail("a circle of imports: " + " -> ".join((*path[path.index(module) :], module)))
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_no_file_is_too_long() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in sources().items()}
    assert not {module: lines for module, lines in lengths.items() if lines > LINES_MAX}
