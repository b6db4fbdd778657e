"""pydantic-ai: an agent with a tool, instrumented by itself, its conversation id the session."""

from conversation import MODEL, MODEL_URL, QUESTIONS, SESSION, SYSTEM, order_status, provider
from pydantic_ai import Agent
from pydantic_ai.capabilities import Instrumentation
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

tracers = provider()
agent = Agent(
    OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=MODEL_URL, api_key="none")),
    name="bot",
    system_prompt=SYSTEM,
    tools=[order_status],
    capabilities=[Instrumentation(InstrumentationSettings(tracer_provider=tracers))],
)
history = None
for question in QUESTIONS:
    done = agent.run_sync(question, message_history=history, conversation_id=SESSION)
    history = done.all_messages()
tracers.shutdown()
