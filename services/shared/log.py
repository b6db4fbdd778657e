"""Log lines for people and for collectors: plain text, one line a record, on standard error."""

import logging
import time


class OneLine(logging.Formatter):
    """Time in UTC, level, who, what. A traceback stays on the line of its record."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(line for line in super().format(record).splitlines() if line.strip())


def set_up_logging(level: str) -> None:
    """Our own records from `level` on; those of libraries from `warning` on, whatever `level` is."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(level=max(logging.WARNING, _number(level)), handlers=[handler], force=True)
    logging.getLogger("services").setLevel(_number(level))
    for chatty in ("clickhouse_connect", "urllib3"):  # what they warn of, our own line says with what follows from it
        logging.getLogger(chatty).setLevel(logging.ERROR)


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]
