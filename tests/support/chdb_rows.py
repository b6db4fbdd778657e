"""Rows of an embedded ClickHouse after its process has ended, read by a process of their own.

chDB has one engine a process, and it must be the only one on its folder: so tests run this
module as a program, `python -m tests.support.chdb_rows FOLDER QUERY`, and read its lines.
"""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from services.shared.clickhouse import connect, embedded_url
from tests.support.processes import REPOSITORY


def chdb_rows(data_dir: Path, query: str) -> list[dict[str, Any]]:
    """The rows of a query on the ClickHouse of an embedded installation that is stopped."""
    command = [sys.executable, "-m", "tests.support.chdb_rows", str(data_dir), query]
    done = subprocess.run(command, capture_output=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr.decode()
    rows: list[dict[str, Any]] = pickle.loads(done.stdout)
    return rows


def main() -> None:
    client = connect(embedded_url(Path(sys.argv[1])))
    rows = client.query(sys.argv[2])
    client.close()
    sys.stdout.buffer.write(pickle.dumps(rows))


if __name__ == "__main__":
    main()
