"""What `session_rollups` says, read as a sink reads it: committed records, last versions."""

from typing import Any

import orjson

from services.shared.records.rollup_fields import complete
from tests.support.kafka.log import read_all


def rollup_records(bootstrap: str, topic: str, partitions: int) -> list[dict[str, Any]]:
    """Every record of the topic, by partition in order, with nothing left out."""
    return [complete(orjson.loads(record.value or b"")) for record in read_all(bootstrap, topic, partitions)]


def last_windows(bootstrap: str, topic: str, partitions: int) -> list[dict[str, Any]]:
    """Each window at its last version; absorbed ones are gone."""
    last: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rollup_records(bootstrap, topic, partitions):
        if row["type"] == "window":
            identity = row["project"], row["session_id"], row["window_id"]
            if identity not in last or last[identity]["version"] <= row["version"]:
                last[identity] = row
    return [row for row in last.values() if not row["is_deleted"]]
