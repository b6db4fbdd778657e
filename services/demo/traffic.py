"""Holds the conversations and exports their spans over OTLP/HTTP."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest

from openai import OpenAI
from openinference.instrumentation import OITracer, TracerProvider
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from services.demo.bot import SupportBot
from services.demo.conversations import Conversation, HeldConversation
from services.demo.model_server import model_server
from services.shared.errors import TransientError

_EXPORT_TIMEOUT = 10.0


class _Counting(SpanExporter):
    """Remembers what did not arrive: the SDK only logs it."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


@contextmanager
def _tracing(endpoint: str, project: str) -> Iterator[OITracer]:
    """OpenAI's client is instrumented inside the block. Raises `TransientError` when spans did not arrive."""
    exporter = _Counting(OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_TIMEOUT))
    resource = Resource.create({"service.name": "support-bot", "openinference.project.name": project})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield provider.get_tracer("spanloom.demo")
    finally:
        instrumentor.uninstrument()
        provider.shutdown()  # exports what is left
    if exporter.lost:
        raise TransientError(f"{endpoint} did not take {exporter.lost} spans: is Spanloom running there?")


def hold(
    conversations: Sequence[Conversation], *, endpoint: str, project: str, run: str
) -> tuple[HeldConversation, ...]:
    """Hold all conversations side by side, a question each in turn, as users do.

    Session ids are `<name>-<run>`; the same `run` goes on with the same sessions. Raises
    `TransientError` when `endpoint` does not take the spans.
    """
    with (
        model_server() as model_url,
        OpenAI(base_url=model_url, api_key="none", max_retries=0) as client,
        _tracing(endpoint, project) as tracer,
    ):
        bots = [SupportBot(client, tracer, f"{talk.name}-{run}", talk.user) for talk in conversations]
        rounds = zip_longest(*(talk.questions for talk in conversations))
        turns = [
            [bot.ask(question) if question else None for bot, question in zip(bots, questions, strict=True)]
            for questions in rounds
        ]
    return tuple(
        HeldConversation(bot.session_id, bot.user, tuple(turn for turn in row if turn is not None))
        for bot, row in zip(bots, zip(*turns, strict=True), strict=True)
    )
