import os
import subprocess
import sys

_PROGRAM = """
import resource
from services.shared.allocator import keep_memory
is_kept = {call}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    blocks = [b"x" * (16 << 20) for _ in range(3)]
for _ in range(3):
    use()
before = faults()
for _ in range(5):
    use()
print(is_kept, faults() - before)
"""


def _run(call: str) -> tuple[bool, int]:
    program = [sys.executable, "-c", _PROGRAM.format(call=call)]
    is_kept, faults = subprocess.run(program, capture_output=True, text=True, check=True).stdout.split()
    return is_kept == "True", int(faults)


def test_memory_that_was_freed_is_used_again_where_the_c_library_can_be_told() -> None:
    is_kept, faults = _run("keep_memory()")
    assert is_kept == ("CS_GNU_LIBC_VERSION" in os.confstr_names)
    if is_kept:
        assert faults < _run("False")[1] // 10
