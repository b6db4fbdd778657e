"""The published OpenAPI documents are those of the code (to renew them: `python -m tests.support.openapi`)."""

import orjson
import pytest

from tests.support.openapi import PUBLISHED, documents


@pytest.mark.parametrize("name", ["query_api.json", "gateway.json"])
def test_the_published_document_is_that_of_the_code(name: str) -> None:
    assert orjson.loads((PUBLISHED / name).read_bytes()) == orjson.loads(orjson.dumps(documents()[name]))


def test_every_route_says_what_it_is_for() -> None:
    for document in documents().values():
        for path, methods in document["paths"].items():
            for method in methods.values():
                assert method["summary"], path
                assert method["responses"], path
