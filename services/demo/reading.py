"""Reads sessions back from the query API, as any client would."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx

from services.demo.check import ShownSession
from services.demo.conversations import HeldTurn
from services.shared.errors import PermanentError, TransientError

_Json = dict[str, Any]


class SessionReader:
    """The sessions of one project.

    Raises `TransientError` when the API cannot answer now, `PermanentError` when it is not
    there or answers as it never should.
    """

    def __init__(self, client: httpx.Client, project: str) -> None:
        self._client, self._project = client, project

    def sessions_since(self, moment: datetime) -> list[ShownSession]:
        """Every session of the project that began at `moment` or later; none when the project is unknown."""
        return [self._read(listed) for listed in self._list() if datetime.fromisoformat(listed["start_time"]) >= moment]

    def _list(self) -> Iterator[_Json]:
        cursor: str | None = None
        while True:
            page = self._get(f"/v1/projects/{self._project}/sessions", {"cursor": cursor} if cursor else {})
            yield from page.get("data", ())
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def _read(self, listed: _Json) -> ShownSession:
        # The opaque id works for every session id, one with a slash included.
        identifier = listed["id"]
        session = self._get(f"/v1/sessions/{identifier}")["data"]
        summary = self._get(f"/v1/sessions/{identifier}/summary")["data"]
        turns = self._get(f"/v1/sessions/{identifier}/turns", {"limit": "1000"})["data"]
        return ShownSession(
            session_id=listed["session_id"],
            state=summary["state"],
            users=tuple(summary["user_ids"]),
            trace_ids=tuple(trace["trace_id"] for trace in session["traces"]),
            turn_count=summary["turn_count"],
            prompt_tokens=session["token_count_prompt"],
            completion_tokens=session["token_count_completion"],
            turns=tuple(_turn(turn) for turn in turns),
        )

    def _get(self, path: str, parameters: dict[str, str] | None = None) -> _Json:
        try:
            response = self._client.get(path, params=parameters or {})
        except httpx.ConnectError as error:
            raise PermanentError(f"nothing listens on {self._client.base_url}: {error}") from error
        except httpx.TransportError as error:
            raise TransientError(f"{self._client.base_url} does not answer: {error}") from error
        if response.status_code == httpx.codes.NOT_FOUND:
            return {}
        if response.is_error:
            kind = TransientError if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else PermanentError
            raise kind(f"{response.url} answered {response.status_code}: {response.text[:200]}")
        answer: _Json = response.json()
        return answer


def _turn(turn: _Json) -> HeldTurn:
    return HeldTurn(
        trace_id=turn["trace_id"],
        input=turn["input"],
        output=turn["output"],
        prompt_tokens=turn["usage"]["prompt_tokens"],
        completion_tokens=turn["usage"]["completion_tokens"],
        llm_calls=turn["usage"]["llm_call_count"],
        tool_calls=turn["tool_call_count"],
        has_error=turn["has_error"],
    )
