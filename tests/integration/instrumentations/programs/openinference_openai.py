"""OpenInference for OpenAI's client, around it a span of the application."""

from conversation import QUESTIONS, SESSION, USER, answers, client, provider
from openinference.instrumentation import OITracer, TraceConfig, using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor

tracers = provider()
OpenAIInstrumentor().instrument(tracer_provider=tracers)
tracer = OITracer(tracers.get_tracer("bot"), config=TraceConfig())
ask = answers(client())
for question in QUESTIONS:
    with (
        using_attributes(session_id=SESSION, user_id=USER),
        tracer.start_as_current_span("bot", openinference_span_kind="agent") as span,
    ):
        span.set_input(question)
        span.set_output(ask(question))
tracers.shutdown()
