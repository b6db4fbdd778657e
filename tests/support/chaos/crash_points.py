"""Where a worker can be made to die: right before and right after every await of a checkpoint and of a take-over.

    crash_points()      all of them, read from the source: an await that is added has its points at once
    install(trap)       from now on these modules are imported with a call of the trap around each await

Production code knows nothing of it. Only processes of tests install it, before they import the worker.
"""

import ast
import importlib.util
import inspect
import sys
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T")

WATCHED: dict[str, tuple[str, ...]] = {
    "services.shared.kafka": (
        "TransactionalWriter.start",
        "TransactionalWriter.commit",
        "TransactionalWriter.stop",
        "TransactionalWriter._send",
    ),
    "services.sessionizer.partition": ("Partition.checkpoint", "Partition.close"),
    "services.sessionizer.runner": (
        "StageRunner._turn",
        "StageRunner._fold",
        "StageRunner._checkpoint",
        "StageRunner._commit",
        "StageRunner.pause",
        "StageRunner.take",
        "StageRunner._loaded",
        "StageRunner.resume",
        "StageRunner.drain",
    ),
    "services.sessionizer.changelog": ("read_changelog", "committed_position"),
    "services.sessionizer.worker": ("Worker._take_over", "Worker._restore", "Worker._position"),
}
"""The coroutines of a checkpoint and of a take-over, by module."""

NOT_WATCHED: dict[str, str] = {
    "_stop": "lets go of a connection: it writes nothing, and TransactionalWriter.stop stands around it",
    "_kafka_errors": "names errors around awaits that are watched themselves",
    "PlainWriter.start": "embedded broker: nothing to fence",
    "PlainWriter.commit": "embedded broker: no transaction",
    "PlainWriter._send": "embedded broker: no transaction",
    "PlainWriter.stop": "embedded broker: nothing was taken",
    "SpanProducer.start": "of the gateway",
    "SpanProducer.send": "of the gateway",
    "SpanProducer.stop": "of the gateway",
    "RecordSource.assign": "declares, has no body",
    "RecordSource.fetch": "declares, has no body",
    "RecordSource.close": "declares, has no body",
    "PartitionWriter.start": "declares, has no body",
    "PartitionWriter.commit": "declares, has no body",
    "PartitionWriter.stop": "declares, has no body",
    "StageRunner.flowing": "waits for readiness, for whoever asks",
    "StageRunner.run": "the loop around StageRunner._turn",
    "Worker.until_ready": "waits for readiness, for whoever asks",
    "Worker.run": "waits for the end",
    "Worker.drain_stage": "calls StageRunner.drain",
    "Worker.drain": "calls StageRunner.drain, then leaves the group",
    "Worker._runner.take_over": "calls Worker._take_over",
}
"""The other coroutines of these modules, each with the reason why no crash point is in it."""


STAGES = ("route", "resolve", "window")
"""The stages of a worker, in the direction of the flow; a test compares them with the worker's."""


@dataclass(frozen=True, slots=True, order=True)
class CrashPoint:
    """One side of one await: the coroutine it is in, what is awaited, and `before` or `after`."""

    coroutine: str
    awaited: str
    side: str

    def __str__(self) -> str:
        return f"{self.side} {self.awaited} in {self.coroutine}"


class Trap(Protocol):
    """Told that execution has come to a point. May end or stop the process."""

    def reached(self, point: CrashPoint, stage: str) -> None: ...


def crash_points() -> list[CrashPoint]:
    """Every point of every watched coroutine, in the order of the source."""
    return [point for name in WATCHED for point in _instrumented(name)[1]]


def coroutines(module: str) -> list[str]:
    """Every coroutine and async generator of a module, by qualified name."""
    return [name for name, _ in _async_functions(ast.parse(_path(module).read_text()))]


def awaits(module: str, coroutine: str) -> int:
    """How often a coroutine awaits, counted the plain way: `async with` awaits at both its ends."""
    tree = dict(_async_functions(ast.parse(_path(module).read_text())))[coroutine]
    nodes = list(ast.walk(tree))
    plain = sum(isinstance(node, ast.Await | ast.AsyncFor) for node in nodes)
    return plain + sum(2 * len(node.items) for node in nodes if isinstance(node, ast.AsyncWith))


# The modules with their calls of the trap


def install(trap: Trap) -> None:
    """Call before anything imports a watched module."""
    early = WATCHED.keys() & sys.modules.keys()
    assert not early, f"imported before the trap was set: {early}"
    sys.meta_path.insert(0, _Finder(_Calls(trap)))


_stage: ContextVar[str] = ContextVar("stage", default="")


class _Calls:
    """What the instrumented source calls, as `__crash__`."""

    def __init__(self, trap: Trap) -> None:
        self._trap = trap

    def before(self, coroutine: str, awaited: str) -> None:
        self._trap.reached(CrashPoint(coroutine, awaited, "before"), _stage.get())

    def after(self, coroutine: str, awaited: str, value: Any = None) -> Any:
        self._trap.reached(CrashPoint(coroutine, awaited, "after"), _stage.get())
        return value

    async def each(self, coroutine: str, awaited: str, source: AsyncIterable[_T]) -> AsyncIterator[_T]:
        items = aiter(source)
        while True:
            self.before(coroutine, awaited)
            try:
                item = await anext(items)
            except StopAsyncIteration:
                self.after(coroutine, awaited)
                return
            self.after(coroutine, awaited)
            yield item

    def within(self, coroutine: str, awaited: str, manager: AbstractAsyncContextManager[_T]) -> "_Within[_T]":
        return _Within(self, coroutine, awaited, manager)


class _Within(AbstractAsyncContextManager[_T]):
    def __init__(self, calls: _Calls, coroutine: str, awaited: str, manager: AbstractAsyncContextManager[_T]) -> None:
        self._calls, self._manager = calls, manager
        self._enter, self._exit = (coroutine, f"entering {awaited}"), (coroutine, f"leaving {awaited}")

    async def __aenter__(self) -> _T:
        self._calls.before(*self._enter)
        value = await self._manager.__aenter__()
        self._calls.after(*self._enter)
        return value

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._calls.before(*self._exit)
        swallowed = await self._manager.__aexit__(kind, error, traceback)
        self._calls.after(*self._exit)
        return swallowed


class _Finder(MetaPathFinder):
    def __init__(self, calls: _Calls) -> None:
        self._calls = calls

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in WATCHED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Loader(name, spec.origin, self._calls)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, calls: _Calls) -> None:
        super().__init__(name, path)
        self._calls = calls

    def get_code(self, fullname: str) -> CodeType:
        """From the source, never from a cache, and into none."""
        code = compile(_instrumented(fullname)[0], self.path, "exec")
        assert isinstance(code, CodeType)
        return code

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__crash__"] = self._calls
        super().exec_module(module)
        runner = vars(module).get("StageRunner")
        if runner is not None:
            _tell_the_stage(runner)


def _tell_the_stage(runner: type) -> None:
    """Whatever a runner does, and every task that follows from it, knows for which stage."""

    def told(method: Any) -> Any:
        @wraps(method)
        async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            _stage.set(self.name)
            return await method(self, *args, **kwargs)

        return call

    for name, method in list(vars(runner).items()):
        if inspect.iscoroutinefunction(method) and not name.startswith("_"):
            setattr(runner, name, told(method))


# The source


def _path(module: str) -> Path:
    spec = importlib.util.find_spec(module.rpartition(".")[0])
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / f"{module.rpartition('.')[2]}.py"


def _async_functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if isinstance(node, ast.AsyncFunctionDef):
                yield prefix + node.name, node
            yield from _async_functions(node, f"{prefix}{node.name}.")


def _instrumented(module: str) -> tuple[ast.Module, list[CrashPoint]]:
    tree = ast.parse(_path(module).read_text())
    functions = dict(_async_functions(tree))
    points: list[CrashPoint] = []
    for name in WATCHED[module]:
        rewriting = _Rewriting(name)
        functions[name].body = [rewriting.visit(statement) for statement in functions[name].body]
        points += rewriting.points
    return ast.fix_missing_locations(tree), points


class _Rewriting(ast.NodeTransformer):
    """Puts the calls into one coroutine. Functions inside it are others."""

    def __init__(self, coroutine: str) -> None:
        self.points: list[CrashPoint] = []
        self._coroutine = coroutine
        self._seen: Counter[str] = Counter()

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_Await(self, node: ast.Await) -> ast.AST:
        """`await X` becomes `(before(), after(await X))[1]`: X is not even begun when `before` is called."""
        name = self._name(node.value)
        self._note(name)
        self.generic_visit(node)
        both = ast.Tuple([self._call("before", name), self._call("after", name, node)], ast.Load())
        return ast.copy_location(ast.Subscript(both, ast.Constant(1), ast.Load()), node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        name = f"each of {self._name(node.iter)}"
        self._note(name)
        self.generic_visit(node)
        node.iter = self._call("each", name, node.iter)
        return node

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        names = [self._name(item.context_expr) for item in node.items]
        for name in names:
            self._note(f"entering {name}")
        self.generic_visit(node)
        for name, item in zip(names, node.items, strict=True):
            self._note(f"leaving {name}")
            item.context_expr = self._call("within", name, item.context_expr)
        return node

    def _name(self, value: ast.expr) -> str:
        """What is awaited, in the words of the source, with a number where a coroutine has it again."""
        match value:
            case ast.Call(func=ast.Attribute(attr="run_in_executor"), args=[_, function, *_]):
                text = ast.unparse(function.args[0] if isinstance(function, ast.Call) else function)
            case ast.Call(func=function):
                text = ast.unparse(function)
            case _:
                text = ast.unparse(value)
        text = text.removeprefix("self.")
        self._seen[text] += 1
        return text if self._seen[text] == 1 else f"{text} ({self._seen[text]})"

    def _note(self, name: str) -> None:
        self.points += [CrashPoint(self._coroutine, name, side) for side in ("before", "after")]

    def _call(self, method: str, name: str, *more: ast.expr) -> ast.Call:
        function = ast.Attribute(ast.Name("__crash__", ast.Load()), method, ast.Load())
        return ast.Call(function, [ast.Constant(self._coroutine), ast.Constant(name), *more], [])
