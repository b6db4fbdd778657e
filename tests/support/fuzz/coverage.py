"""Inputs that Atheris finds: it watches which lines of the decoder run, and keeps what reaches new ones."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.fuzz.corpus import make_corpus

_PROGRAM = """
import sys
import atheris
STATES = ["meta", "state", "state_parts", "state_reader", "state_writer", "older_states"]
with atheris.instrument_imports(include=["services.shared", *(f"services.sessionizer.{name}" for name in STATES)]):
    from tests.support.fuzz.targets import TARGETS
target = TARGETS[sys.argv.pop(1)][1]
atheris.Setup(sys.argv, lambda data: target(data) and None)
atheris.Fuzz()
"""


def run_atheris(inputs: int, seed: int, target: str = "decoder") -> int:
    """Try so many inputs; what libFuzzer prints goes through. Its exit code: not 0 when an input made a fault.

    Says what to do where Atheris is not installed, with 2.
    """
    if not _is_there():
        print("Atheris is not installed: pip install atheris (Linux, Python 3.11 to 3.13)", file=sys.stderr)  # noqa: T201 - a command
        return 2
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, value in enumerate(make_corpus()["request"]):
            (corpus / str(number)).write_bytes(value)
        limits = [f"-runs={inputs}", f"-seed={seed}", "-timeout=10", "-rss_limit_mb=3000", "-max_len=4096"]
        program = [sys.executable, "-c", _PROGRAM, target, *limits, str(corpus)]
        done = subprocess.run(program, check=False, cwd=folder, env={**os.environ, "PYTHONPATH": _path()})
        for found in Path(folder).glob("*-*"):
            shutil.copy(found, Path.cwd())
            print(f"the input is in {found.name}", file=sys.stderr)  # noqa: T201 - as above
    return done.returncode


def _is_there() -> bool:
    done = subprocess.run([sys.executable, "-c", "import atheris"], check=False, capture_output=True)
    return done.returncode == 0


def _path() -> str:
    return os.pathsep.join([str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])])
