"""Traceloop's instrumentation of OpenAI's client, under a workflow span as Traceloop's SDK writes it."""

import json

from conversation import QUESTIONS, SESSION, USER, answers, client, provider
from opentelemetry.instrumentation.openai import OpenAIInstrumentor

tracers = provider()
OpenAIInstrumentor().instrument(tracer_provider=tracers)
tracer = tracers.get_tracer("traceloop.tracer")
ask = answers(client())
for question in QUESTIONS:
    with tracer.start_as_current_span("bot.workflow") as span:
        span.set_attribute("traceloop.span.kind", "workflow")
        span.set_attribute("traceloop.entity.name", "bot")
        span.set_attribute("traceloop.association.properties.session_id", SESSION)
        span.set_attribute("traceloop.association.properties.user_id", USER)
        span.set_attribute("traceloop.entity.input", json.dumps({"args": [question], "kwargs": {}}))
        span.set_attribute("traceloop.entity.output", json.dumps(ask(question)))
tracers.shutdown()
