"""Conversations of chat bots: spans as instrumentations make them, and the facts each must become."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.shared.model.session_key import SessionKey
from services.shared.model.span import PICODOLLARS, Dimensions, ModelCall, SpanFacts
from tests.support.otlp import SECOND, event, span

_MODELS = {"gpt-5-mini": ("0.00000025", "0.000002"), "claude-sonnet-5": ("0.000003", "0.000015"), "llama-4": None}
"""Model names with the price of a prompt and of a completion token in dollars, where it has one."""

_QUESTIONS = ("Where is my order?", "Kann ich es zurückgeben?", "返品できますか", "How long is the warranty? 🤔")
_EXPORT_DELAY = 5 * SECOND  # a batch processor's usual schedule


@dataclass(frozen=True, slots=True)
class Application:
    """One instrumented service: where its spans come from, and on which of them it puts the session id."""

    service: str
    project: str  # empty: the resource does not name one
    environment: str
    marks_every_span: bool
    agent: str = ""

    @property
    def suffix(self) -> str:
        """Keeps session ids of two applications of one project apart."""
        return "" if self.marks_every_span else "-m"

    @property
    def resource(self) -> dict[str, str]:
        named = {"openinference.project.name": self.project} if self.project else {}
        return {"service.name": self.service, "deployment.environment.name": self.environment, **named}


APPLICATIONS = (
    Application("support-bot", "support", "production", marks_every_span=True),
    Application("voice-bot", "voice", "production", marks_every_span=False, agent="dispatcher"),
    Application("faq", "", "staging", marks_every_span=True),
    Application("mixed-bot", "support", "staging", marks_every_span=False),
)


@dataclass(slots=True)
class Draft:
    """A span before it is sent: what it says, and the facts it must become. `facts` is None for noise."""

    application: Application
    key: SessionKey | None
    facts: SpanFacts
    attributes: dict[str, Any]
    events: list[Any] = field(default_factory=list)
    exported: int = 0

    def message(self, session_id: str) -> Span:
        facts = self.facts
        marked = {"session.id": session_id} if session_id else {}
        return span(
            trace_id=facts.trace_id,
            span_id=facts.span_id,
            parent_id=facts.parent_id,
            start=facts.start,
            end=facts.end,
            name=facts.name,
            attributes={**marked, **self.attributes},
            is_error=facts.is_error,
            events=self.events,
        )


def session_key(random: Random, number: int) -> tuple[Application, SessionKey]:
    application = APPLICATIONS[number % len(APPLICATIONS)]
    form = random.choice(("{:06d}", "user-{}/chat", "sitzung-ü-{}", "{:032x}"))
    # Projects may use the same ids: they are different sessions all the same.
    shared = number // len(APPLICATIONS) if application.marks_every_span else number
    return application, SessionKey(application.project or "default", form.format(shared) + application.suffix)


def conversation(
    random: Random,
    application: Application,
    key: SessionKey,
    number: int,
    budget: int,
    begin: int,
    length: int,
    gap: int,
) -> Iterator[Draft]:
    at = begin + random.randrange(max(1, length // 2))
    who = Dimensions(
        user_id=f"user-{number % 97}",
        environment=application.environment,
        service=application.service,
        agent=application.agent,
        tags=("beta", f"tier-{number % 3}") if number % 4 == 0 else (),
        session=(("session.type", "chat"),) if number % 5 == 0 else (),
        metadata=(("channel", "web"), ("shard", str(number % 8))) if number % 3 == 0 else (),
    )
    turns = 0
    while budget > 0:
        turns += 1
        size = min(budget, random.choice((1, 2, 3, 5, 8, 13)))
        budget -= size
        # Each key's last writer by event time wins, so turns must differ.
        now = replace(who, metadata=(*who.metadata, ("turn", str(turns)))) if who.metadata else who
        turn = _turn(random, application, key, now, at, size)
        yield from turn
        end = max(draft.facts.end for draft in turn)
        silence = random.randrange(SECOND, max(2 * SECOND, gap // 4))
        if random.random() < 0.2 and end + 2 * gap < begin + length:
            silence = gap + random.randrange(1, gap)
        elif random.random() < 0.02:
            silence = gap
        at = min(end + silence, max(end + SECOND, begin + length))


def _turn(
    random: Random, application: Application, key: SessionKey, who: Dimensions, start: int, size: int
) -> list[Draft]:
    """A root and `size - 1` spans inside it, in the order in which they end: the root last."""
    trace_id, root_id = random.randbytes(16), random.randbytes(8)
    question, answer = random.choice(_QUESTIONS), f"Answer {random.randrange(10**6)}."
    children: list[Draft] = []
    at = start + random.randrange(1, SECOND // 10)
    for _ in range(size - 1):
        took = random.randrange(SECOND // 100, 3 * SECOND)
        child = SpanFacts(trace_id, random.randbytes(8), root_id, at, at + took, dimensions=who)
        children.append(_child(random, application, key, child))
        at += random.randrange(took + 1) if random.random() < 0.3 else took
    end = max([child.facts.end for child in children] + [start + SECOND]) + random.randrange(SECOND // 10)
    failed = random.random() < 0.03
    root = SpanFacts(
        trace_id,
        root_id,
        b"",
        start,
        end,
        name="chat turn",
        dimensions=who,
        is_error=failed,
        error="deadline exceeded" if failed else "",
        input=question,
        output=answer,
    )
    attributes: dict[str, Any] = {"openinference.span.kind": "AGENT", "input.value": question, "output.value": answer}
    # A wrapper repeats the usage of its children; it must not count.
    attributes |= {"llm.token_count.prompt": 10**6, "llm.token_count.completion": 10**6, **_who(who)}
    draft = Draft(application, key, root, attributes, _exceptions(root))
    turn = sorted([*children, draft], key=lambda each: (each.facts.end, each is draft))
    for each in turn:
        each.exported = each.facts.end + random.randrange(_EXPORT_DELAY)
    return turn


def _child(random: Random, application: Application, key: SessionKey, facts: SpanFacts) -> Draft:
    kind = random.choices(("llm", "genai", "tool", "retriever"), (5, 2, 2, 1))[0]
    failed = kind != "retriever" and random.random() < 0.04
    facts = replace(facts, name=kind, is_error=failed, error="deadline exceeded" if failed else "")
    attributes = _who(facts.dimensions)
    match kind:
        case "tool":
            facts = replace(facts, is_tool_call=True, tool="lookup_order")
            attributes |= {"openinference.span.kind": "TOOL", "tool.name": "lookup_order"}
        case "retriever":
            attributes |= {"openinference.span.kind": "RETRIEVER"}
        case _:
            call, said = _model_call(random, genai=kind == "genai")
            first_token = random.randrange(10, 2_000) * 10**6 if kind == "genai" else None
            facts = replace(facts, call=call, time_to_first_token=first_token)
            attributes |= said
            if first_token is not None:
                attributes["gen_ai.response.time_to_first_chunk"] = first_token / SECOND
    attributes |= {"input.value": "p" * random.randrange(40, 600), "output.value": "c" * random.randrange(20, 400)}
    return Draft(application, key, facts, attributes, _exceptions(facts))


def _model_call(random: Random, *, genai: bool) -> tuple[ModelCall, dict[str, Any]]:
    model = random.choice(list(_MODELS))
    prompt, completion = random.randrange(20, 4_000), random.randrange(1, 900)
    cached = random.randrange(prompt) if random.random() < 0.3 else None
    reasoning = random.randrange(completion) if random.random() < 0.2 else None
    said: dict[str, Any]
    if genai:
        said = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
        said |= {"gen_ai.usage.input_tokens": prompt, "gen_ai.usage.output_tokens": str(completion)}
        details = {
            "gen_ai.usage.cache_read.input_tokens": cached,
            "gen_ai.usage.reasoning.output_tokens": reasoning,
        }
    else:
        said = {"openinference.span.kind": "LLM", "llm.model_name": model}
        said |= {"llm.token_count.prompt": prompt, "llm.token_count.completion": completion}
        said |= {"llm.token_count.total": prompt + completion}
        details = {
            "llm.token_count.prompt_details.cache_read": cached,
            "llm.token_count.completion_details.reasoning": reasoning,
        }
    said |= {name: amount for name, amount in details.items() if amount is not None}
    price = _MODELS[model]
    costs: tuple[int | None, int | None, int | None] = (None, None, None)
    if price is not None:
        parts = [Decimal(each) * tokens for each, tokens in zip(price, (prompt, completion), strict=True)]
        dollars = [*parts, sum(parts)]
        said |= dict(
            zip(("llm.cost.prompt", "llm.cost.completion", "llm.cost.total"), map(float, dollars), strict=True)
        )
        costs = (int(parts[0] * PICODOLLARS), int(parts[1] * PICODOLLARS), int(sum(parts) * PICODOLLARS))
    call = ModelCall(
        model, prompt, completion, prompt + completion, cached, None, reasoning, costs[0], costs[1], costs[2]
    )
    return call, said


def _who(who: Dimensions) -> dict[str, Any]:
    """The attributes that say what `who` says and the resource does not."""
    said: dict[str, Any] = {"user.id": who.user_id, **dict(who.session)}
    if who.agent:
        said["agent.name"] = who.agent
    if who.tags:
        said["tag.tags"] = list(who.tags)
    if who.metadata:
        said["metadata"] = json.dumps(dict(who.metadata))
    return said


def _exceptions(facts: SpanFacts) -> list[Any]:
    if not facts.is_error:
        return []
    said = {"exception.type": "TimeoutError", "exception.message": facts.error}
    return [event("exception", at=facts.end, attributes=said)]


def unrelated_span(random: Random, at: int) -> Draft:
    facts = SpanFacts(random.randbytes(16), random.randbytes(8), b"", at, at + SECOND, name="GET /healthz")
    return Draft(APPLICATIONS[0], None, facts, {"http.request.method": "GET"}, [], at + 2 * SECOND)
