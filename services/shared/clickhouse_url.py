"""Where a ClickHouse is: the URL of the settings, taken apart."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from services.shared.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ClickHouseUrl:
    """A parsed address. `folder` is set for chDB only."""

    scheme: Literal["http", "https", "chdb"]
    host: str
    port: int
    user: str
    password: str
    database: str
    folder: str

    @classmethod
    def parse(cls, url: str) -> "ClickHouseUrl":
        """Raises `SettingsError` for a URL that names no ClickHouse."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise SettingsError(f"ClickHouse URL cannot be read: {error}") from error
        named = parse_qs(parts.query).get("database", [""])[0]
        if parts.scheme == "chdb" and not parts.netloc and parts.path.startswith("/"):
            return cls("chdb", "", 0, "", "", named, unquote(parts.path))
        if parts.scheme in ("http", "https") and parts.hostname:
            secure = parts.scheme == "https"
            return cls(
                "https" if secure else "http",
                parts.hostname,
                port or (8443 if secure else 8123),
                unquote(parts.username or "default"),
                unquote(parts.password or ""),
                unquote(parts.path.strip("/")) or named,
                "",
            )
        raise SettingsError(
            "a ClickHouse URL is http://user:password@host:8123/database or chdb:///folder;"
            f" this one starts with {parts.scheme or 'nothing'!r}"
        )
