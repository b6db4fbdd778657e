"""OpenTelemetry's instrumentation of OpenAI's client, content on its spans, the session on the application's."""

import os

os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"

from conversation import QUESTIONS, SESSION, USER, answers, client, provider
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

tracers = provider()
OpenAIInstrumentor().instrument(tracer_provider=tracers)
tracer = tracers.get_tracer("bot")
ask = answers(client())
for question in QUESTIONS:
    with tracer.start_as_current_span("bot", attributes={"session.id": SESSION, "user.id": USER}):
        ask(question)
tracers.shutdown()
