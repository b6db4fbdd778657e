"""Every reader of our topics reads committed: decisions/0002 depends on it."""

import ast
from pathlib import Path

SERVICES = Path(__file__).parents[3] / "services"
CONSUMERS = {"aiokafka": "AIOKafkaConsumer", "confluent_kafka": "Consumer"}
COMMITTED, UNCOMMITTED = "read_committed", "read_uncommitted"
EMBEDDED = {"embedded", "not committed_only"}
"""What a reader of the embedded broker, which has no transactions, is told."""

READERS = {
    "sessionizer/app.py",
    "sessionizer/changelog.py",
    "sessionizer/fetcher.py",
    "shared/kafka_source.py",
    "shared/topic_reader.py",
}


def consumers() -> list[tuple[str, ast.Call]]:
    """Each place where a consumer is made, by file."""
    found = []
    for path in SERVICES.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in CONSUMERS
            for alias in node.names
            if alias.name in CONSUMERS.values()
        }
        found += [
            (path.relative_to(SERVICES).as_posix(), node)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported
        ]
    return found


def isolation(call: ast.Call) -> ast.expr | None:
    """What a consumer is given as isolation level."""
    for keyword in call.keywords:
        if keyword.arg == "isolation_level":
            return keyword.value
    for argument in call.args:
        if isinstance(argument, ast.Dict):
            for key, value in zip(argument.keys, argument.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "isolation.level":
                    return value
    return None


def is_committed(level: ast.expr | None) -> bool:
    match level:
        case ast.Constant(value=value):
            return bool(value == COMMITTED)
        case ast.IfExp(test=test, body=ast.Constant(value=body), orelse=ast.Constant(value=orelse)):
            when_uncommitted = ast.unparse(test) if body == UNCOMMITTED else f"not {ast.unparse(test)}"
            return {body, orelse} == {COMMITTED, UNCOMMITTED} and when_uncommitted in EMBEDDED
        case _:
            return False


def test_every_consumer_in_the_code_reads_committed_except_from_the_embedded_broker() -> None:
    found = consumers()
    faults = [f"{file}:{call.lineno}" for file, call in found if not is_committed(isolation(call))]
    assert not faults, f"these consumers do not read committed: {faults}"
    assert {file for file, _ in found} >= READERS, "a consumer is made in a way that this test does not see"


def test_no_consumer_is_made_in_a_way_that_this_test_does_not_see() -> None:
    """Under its own name only: neither as an attribute of its module nor as a base class."""
    for path in SERVICES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name.split(".")[0] for alias in node.names} & CONSUMERS.keys(), path
            if isinstance(node, ast.ClassDef):
                assert not {ast.unparse(base) for base in node.bases} & set(CONSUMERS.values()), path
