"""An OpenAI-compatible model server on loopback that always answers the same.

It speaks enough of `POST /v1/chat/completions` for the OpenAI client: messages, tools, usage,
errors. Tokens are words, so that anybody can count them again.
"""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from services.demo.conversations import OVERLOADED

Message = dict[str, Any]
"""A chat message as it stands in the request."""

MODEL = "gpt-4o-mini"

_ORDER = re.compile(r"\b[A-Z]{2}-\d{4}\b")
_ANSWERS = (
    (("return", "refund"), "You can return anything within 30 days; the refund arrives within 5 working days."),
    (("ship", "delivery"), "We ship within a day. Standard delivery takes 3 to 5 working days."),
    (("warranty",), "Every device has a warranty of two years."),
    (("thank",), "You are welcome. Have a good day!"),
    (("order",), "I can look that up. What is the order number? It looks like AB-1234."),
)
_FALLBACK = "I can help with orders, shipping, returns and warranty. What would you like to know?"


def answer(messages: Sequence[Message]) -> Message:
    """The assistant's message that follows: a call of `order_status`, or text. The same for the same messages."""
    last = messages[-1]
    text = str(last["content"])
    if last["role"] == "tool":
        found = json.loads(text)
        return _said(f"Order {found['order']} is {found['status']}.")
    if order := _ORDER.search(text):
        call = {
            "id": f"call_{_digest(text)}",
            "type": "function",
            "function": {"name": "order_status", "arguments": json.dumps({"order": order[0]})},
        }
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    for words, said in _ANSWERS:
        if any(word in text.lower() for word in words):
            return _said(said)
    return _said(_FALLBACK)


def count_tokens(messages: Sequence[Message]) -> int:
    """Words of the contents and of the arguments of tool calls."""
    texts = [str(message.get("content") or "") for message in messages]
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    texts += [f"{call['function']['name']} {call['function']['arguments']}" for call in calls]
    return sum(len(text.split()) for text in texts)


def _said(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _completion(request: dict[str, Any]) -> dict[str, Any]:
    messages = request["messages"]
    message = answer(messages)
    prompt, completion = count_tokens(messages), count_tokens([message])
    return {
        "id": f"chatcmpl-{_digest(json.dumps(messages))}",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answered: list[dict[str, int]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answered = answered


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self._reply(404, {"error": {"message": f"there is no {self.path}", "type": "invalid_request_error"}})
        elif OVERLOADED in str(request["messages"][-1]["content"]):
            self._reply(503, {"error": {"message": "The model is overloaded.", "type": "server_error"}})
        else:
            completion = _completion(request)
            self.server.answered.append(completion["usage"])
            self._reply(200, completion)

    def _reply(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def model_server(answered: list[dict[str, int]] | None = None) -> Iterator[str]:
    """Serves inside the block; gives the base URL for the OpenAI client. `answered` gets the usage of each answer."""
    server = _Server([] if answered is None else answered)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
