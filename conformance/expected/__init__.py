"""What each broker is known to do differently, case by case, with the reason: one module per broker."""

import importlib
import importlib.util


def differences_for(kind: str) -> dict[str, str]:
    """Return case id -> reason for a broker such as ``rabbitmq_3`` or ``leveret``; empty for an unknown one."""
    module = f"conformance.expected.{kind}"
    if not kind or not kind.isidentifier() or importlib.util.find_spec(module) is None:
        return {}
    differences: dict[str, str] = importlib.import_module(module).DIFFERENCES
    return differences
