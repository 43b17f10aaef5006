"""Values of a request's JSON as RabbitMQ quotes them in its refusals: as Erlang terms, safe to show on a page."""

from typing import Any

from broker.core.terms import term_text


def json_term(value: Any) -> str:
    """Return a value of JSON as Erlang's ``~p`` prints what RabbitMQ reads it as."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(json_term, value))}]"
    if isinstance(value, dict):
        return "#{" + ",".join(f"{json_term(key)} => {json_term(each)}" for key, each in value.items()) + "}"
    return term_text(value)


def escaped(text: str) -> str:
    """Return a text without anything that a browser could take for a tag, as RabbitMQ's are."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
