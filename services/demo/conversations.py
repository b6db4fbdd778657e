"""PURE: the conversations of the demo, and what is known of one once it was held."""

from dataclasses import dataclass

OVERLOADED = "everything at once"
"""A question with these words gets a 503, as a model provider has its bad minutes."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Questions of one user, in order."""

    name: str
    user: str
    questions: tuple[str, ...]


CONVERSATIONS = (
    Conversation(
        "order-status",
        "ada",
        ("Where is my order?", "It is AB-1234.", "And what about CD-5678?", "Thank you!"),
    ),
    Conversation("faq", "grace", ("How long does delivery take?", "Can I return a gift?", "How long is the warranty?")),
    Conversation(
        "mixed",
        "alan",
        ("Hello", "Do you ship to Norway?", "Then please check EF-9012.", "What if I want a refund?", "Thanks, bye"),
    ),
    Conversation(
        "overloaded",
        "edsger",
        (f"I want to know {OVERLOADED}", "Only the status of AB-1234, please."),
    ),
)


@dataclass(frozen=True, slots=True)
class HeldTurn:
    """One question and its answer. Tokens are the sums of what the model server reported."""

    trace_id: str
    input: str
    output: str
    prompt_tokens: int
    completion_tokens: int
    llm_calls: int
    tool_calls: int
    has_error: bool


@dataclass(frozen=True, slots=True)
class HeldConversation:
    """What a session must show, as the bot saw it."""

    session_id: str
    user: str
    turns: tuple[HeldTurn, ...]

    @property
    def prompt_tokens(self) -> int:
        return sum(turn.prompt_tokens for turn in self.turns)

    @property
    def completion_tokens(self) -> int:
        return sum(turn.completion_tokens for turn in self.turns)
