"""The settings as a table for people, made from the fields, so that no page can be behind.

``python -m broker.settings_table FILE...`` renews the table in each file, between its marks (``make docs``).
"""

import sys
from pathlib import Path
from typing import Final

from broker.config import Mark, Settings, allowed, flag_name, variable_name

END: Final = "<!-- end of settings -->"

MOST_USED: Final = ("host", "port", "data_dir", "config", "log_level", "log_format")


def full_table() -> str:
    """Return a Markdown table with a row for each setting."""
    rows = ["| TOML key | flag | environment | default | allowed | meaning |", "|---|---|---|---|---|---|"]
    for key, field in Settings.model_fields.items():
        in_file = "-" if Mark.NOT_IN_FILE in field.metadata else f"`{key}`"
        flag = "-" if Mark.SECRET in field.metadata else f"`{flag_name(key)}`"
        default = f"`{shown_default(field.default)}`"
        rows.append(row(in_file, flag, f"`{variable_name(key)}`", default, allowed(field), str(field.description)))
    return "\n".join(rows)


def short_table() -> str:
    """Return a Markdown table with a row for each of the most used settings."""
    rows = ["| flag | environment | default | meaning |", "|---|---|---|---|"]
    for key in MOST_USED:
        field = Settings.model_fields[key]
        default = f"`{shown_default(field.default)}`"
        rows.append(row(f"`{flag_name(key)}`", f"`{variable_name(key)}`", default, str(field.description)))
    return "\n".join(rows)


TABLES: Final = {
    "<!-- settings: made by `make docs`, do not edit -->": full_table,
    "<!-- most used settings: made by `make docs`, do not edit -->": short_table,
}


def row(*cells: str) -> str:
    """Return a row of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def shown_default(default: object) -> str:
    """Return a default as it would be written on a command line or in a variable."""
    if isinstance(default, tuple):
        default = ",".join(default)
    return "none" if default in (None, "") else str(default)


def renewed(page: str) -> str:
    """Return ``page`` with the table of now between its marks. Raises ValueError when it has no marks."""
    for begin, table in TABLES.items():
        before, _, rest = page.partition(begin)
        _, mark, after = rest.partition(END)
        if mark:
            return f"{before}{begin}\n{table()}\n{mark}{after}"
    raise ValueError(f"there are none of {list(TABLES)} with {END} after it")


def main() -> None:
    """Renew the table in the files that the command line names."""
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
