"""A program of ours that must not outlive its supervisor: `python -m orchestrator.embedded.child FD GRACE_S MODULE …`.

The supervisor holds the other end of the pipe FD and never writes. The kernel closes it when the supervisor ends,
however it ends; then this process is asked to stop, and made to after the grace. A pipe and not Linux' death signal:
it works everywhere, it outlives the thread that started us, and it leaves a worker the time to write down what a
launch came to, where a kill would leave a doubt.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time


def main() -> None:
    """Run the module that the arguments name as this process's own program."""
    fd, grace_s, module = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    threading.Thread(target=_end_with_supervisor, args=(fd, grace_s), daemon=True, name="supervisor-watch").start()
    sys.argv = sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_supervisor(fd: int, grace_s: float) -> None:
    os.read(fd, 1)  # returns at the end of the pipe only
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
