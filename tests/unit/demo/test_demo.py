import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.demo.main import run
from services.shared.errors import PermanentError, TransientError
from tests.support.otlp_receiver import Receiver


@contextmanager
def _api_that_answers(status: int) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _run(api_url: str | None) -> tuple[int, list[str]]:
    said: list[str] = []
    with Receiver().listening() as receiver:
        status = run(
            endpoint=receiver.endpoint,
            project="shop",
            api_url=api_url,
            until_closed=False,
            patience=0,
            echo=said.append,
        )
    return status, said


def test_without_an_api_the_demo_only_sends_spans() -> None:
    status, said = _run(None)

    assert status == 0
    assert len(said) == 1


def test_sessions_that_do_not_appear_are_named_and_fail_the_demo() -> None:
    with _api_that_answers(404) as url:
        status, said = _run(url)

    assert status == 1
    assert sum(line.endswith("was held and is not shown") for line in said) == 4


def test_an_api_that_cannot_answer_in_time_fails_the_demo() -> None:
    with _api_that_answers(503) as url, pytest.raises(TransientError, match="answered 503"):
        _run(url)


def test_an_api_that_is_not_there_fails_the_demo_at_once() -> None:
    with pytest.raises(PermanentError, match="nothing listens"):
        _run("http://127.0.0.1:9")
