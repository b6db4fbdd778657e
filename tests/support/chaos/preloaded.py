"""What forked children find imported: the worker with its crash points, the sink, the command line."""

from importlib import import_module

from tests.support.chaos.crash_points import install
from tests.support.chaos.trap import TRAP

install(TRAP)

for _name in ("services.cli.main", "services.sessionizer.main", "services.sink.main"):
    import_module(_name)
