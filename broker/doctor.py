"""``leveret doctor DATA_DIR``: tells what is in a data directory and what of it is damaged. Changes nothing.

Exit code 0: all that is there is sound; 1: something is damaged; 65 and 66 as at a start (docs/configuration.md).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from storage.errors import StorageError
from storage.inspection import Inspection, inspect

DAMAGED: Final = 1


class OneLineParser(argparse.ArgumentParser):
    """As the broker's own: one line about what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    made = OneLineParser(prog="leveret doctor", description=__doc__, allow_abbrev=False)
    made.add_argument("data_dir", metavar="DATA_DIR", type=Path)
    made.add_argument("--json", action="store_true", dest="as_json", help="one JSON object instead of lines")
    given = made.parse_args(list(arguments))
    try:
        found = inspect(given.data_dir)
    except StorageError as error:
        print(f"leveret doctor: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
        return error.exit_code
    report = report_of(found)
    print(json.dumps(report, indent=2) if given.as_json else text_of(report))  # noqa: T201
    return DAMAGED if found.damage else 0


def report_of(found: Inspection) -> dict[str, Any]:
    """The report as it is given with --json."""
    names = {
        int(str(one.value["id"])): (one.key[1], one.key[2])
        for one in found.definitions
        if one.key[0] == "queue" and len(one.key) == 3 and isinstance(one.value, dict) and "id" in one.value
    }
    queues = [
        {"vhost": vhost, "name": name, "id": queue_id, "messages": found.queues.get(queue_id, 0)}
        for queue_id, (vhost, name) in names.items()
    ]
    queues += [
        {"vhost": None, "name": None, "id": queue_id, "messages": count}
        for queue_id, count in sorted(found.queues.items())
        if queue_id not in names
    ]
    return {
        "data_dir": str(found.path),
        "state": "in use" if found.in_use else "closed in order" if found.was_closed else "not closed in order",
        "is_sound": not found.damage,
        "messages": found.message_count,
        "segments": [
            {
                "number": each.number,
                "octets": each.octets,
                "batches": each.batch_count,
                "live_octets": each.live_octets,
                "dead_octets": each.dead_octets,
            }
            for each in found.segments
        ],
        "octets": sum(each.octets for each in found.segments),
        "live_octets": sum(each.live_octets for each in found.segments),
        "dead_octets": sum(each.dead_octets for each in found.segments),
        "definitions": len(found.definitions),
        "definitions_octets": found.journal_octets,
        "queues": queues,
        "damage": found.damage,
        "damaged_places": found.broken,
        "unfinished_octets": found.unfinished_octets,
        "quarantine": found.quarantined,
    }


def text_of(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{report['data_dir']}: {report['state']}, {'sound' if report['is_sound'] else 'DAMAGED'}",
        f"log: {len(report['segments'])} segments, {report['octets']:,} octets, about {report['live_octets']:,} of them"
        f" live; {report['messages']:,} messages",
    ]
    lines += [
        f"  segment {each['number']}: {each['octets']:,} octets in {each['batches']:,} batches,"
        f" {each['live_octets']:,} live, {each['dead_octets']:,} dead"
        for each in report["segments"]
    ]
    lines.append(f"definitions: {report['definitions']:,} in {report['definitions_octets']:,} octets")
    lines += [
        f"  queue {each['name']!r} in {each['vhost']!r}: {each['messages']:,} messages"
        if each["name"] is not None
        else f"  id {each['id']}, of no queue: {each['messages']:,} messages"
        for each in report["queues"]
    ]
    if report["unfinished_octets"]:
        lines.append(f"unfinished: {report['unfinished_octets']:,} octets at the end, a batch that was never promised")
    lines += [f"DAMAGE: {what}" for what in report["damage"]]
    lines += [f"  {what}" for what in report["damaged_places"]]
    lines += [f"in quarantine: {name}" for name in report["quarantine"]]
    return "\n".join(lines)
