"""Conversations of a support bot, held by a real program with real instrumentation, to try Spanloom with."""
