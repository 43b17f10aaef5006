"""The settings as a table for people, made from the fields, so that no page can be behind.

``python -m broker.settings_table FILE...`` renews the table in each file, between its two marks (``make docs``).
"""

import sys
from pathlib import Path
from typing import Final

from broker.config import Mark, Settings, allowed, flag_name, variable_name

BEGIN: Final = "<!-- settings: made by `make docs`, do not edit -->"
END: Final = "<!-- end of settings -->"


def settings_table() -> str:
    """Return a Markdown table with a row for each setting."""
    rows = ["| TOML key | flag | environment | default | allowed | meaning |", "|---|---|---|---|---|---|"]
    for key, field in Settings.model_fields.items():
        in_file = "-" if Mark.NOT_IN_FILE in field.metadata else f"`{key}`"
        flag = "-" if Mark.SECRET in field.metadata else f"`{flag_name(key)}`"
        default = f"`{shown_default(field.default)}`"
        cells = [in_file, flag, f"`{variable_name(key)}`", default, allowed(field), str(field.description)]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def shown_default(default: object) -> str:
    """Return a default as it would be written on a command line or in a variable."""
    if isinstance(default, tuple):
        default = ",".join(default)
    return "none" if default in (None, "") else str(default)


def renewed(page: str) -> str:
    """Return ``page`` with the table of now between the marks. Raises ValueError when a mark is missing."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"there is no {BEGIN!r} with {END!r} after it")
    return f"{before}{BEGIN}\n{settings_table()}\n{mark}{after}"


def main() -> None:
    """Renew the table in the files that the command line names."""
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
