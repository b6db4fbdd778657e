"""The application of the query API. Embedded mode adds the gateway's router to it."""

from collections.abc import Callable, Sequence

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import PlainTextResponse

import services
from services.query_api.annotation_routes import annotation_router
from services.query_api.answers import Answers
from services.query_api.project_routes import project_router
from services.query_api.reader import LiveReader
from services.query_api.session_routes import session_router
from services.query_api.store import Store
from services.shared.clock import Clock
from services.shared.errors import SpanloomError
from services.shared.http import add_edge, monitor_router
from services.shared.telemetry import Telemetry

_DESCRIPTION = """Sessions of LLM applications, cut from OTLP spans.

`/v1/projects` and `/v1/sessions` speak the REST contract of Phoenix, so its clients work unchanged;
`summary`, `turns` and `transcript` of a session say what that contract has no words for. Errors are plain text."""


def build_app(
    store: Store,
    live: LiveReader | None,
    telemetry: Telemetry,
    clock: Clock,
    *,
    routers: Sequence[APIRouter] = (),
    ready: Callable[[], bool] = lambda: True,
) -> FastAPI:
    """`live`: `None` where there is no Redis at all. `routers`: what else this port serves; `ready`: whether it can."""

    async def readiness() -> Response:
        """Redis does not matter: without it answers are only less fresh."""
        if not ready():
            return PlainTextResponse("starting", 503)
        try:
            await store.ping()
        except SpanloomError as error:
            return PlainTextResponse(f"ClickHouse: {error}", 503)
        return PlainTextResponse("OK")

    app = FastAPI(
        title="Spanloom",
        version=services.__version__,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0"},
    )
    add_edge(app, telemetry, clock)
    answers = Answers(telemetry)
    app.include_router(project_router(store, live, answers))
    app.include_router(session_router(store, live, answers))
    app.include_router(annotation_router(store, live, answers))
    app.include_router(monitor_router(telemetry, readiness))
    for router in routers:
        app.include_router(router)
    return app
