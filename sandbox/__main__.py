"""`python -m sandbox`: run the stand-in, and teach how to use it."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sandbox.clock import Clock, parse_iso
from sandbox.control_plane import teach
from sandbox.options import OptionError, Options, explain, parse_options
from sandbox.service import Service

_PARENT_LOOK_S = 0.25
_INTRODUCTION = """\
A stand-in for the Script workflows API, for tests and demonstrations, with faults and a clock to turn.

When it is ready it prints one line of JSON on stdout with its urls. Then, for example:

  curl -H 'x-api-key: sk-sandbox' $API/workflows
  curl -H 'x-api-key: sk-sandbox' -d '{"input": {"note": "hello", "sandbox": "duration_s=2; files=2"}}' \\
       $API/workflows/8d7e6f50-4b3c-4a29-9180-7f6e5d4c3b2a/executions
  curl -d '{"advance_s": 3600}' $CONTROL/clock
  curl -d '{"fault": "reset_after", "kind": "launch", "nth": 3}' $CONTROL/faults
  curl $CONTROL/truth
"""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description=_INTRODUCTION,
        epilog=f"options (in the file of --options, or by PATCH /_sandbox/options):\n{_options_text()}\n\n{teach()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port of the API; 0 = any free one (default)")
    parser.add_argument(
        "--files-port", type=int, default=0, help="port of the result files; 0 = any free one (default)"
    )
    parser.add_argument("--seed", type=int, default=1, help="fixes ids, durations and outcomes (default: %(default)s)")
    parser.add_argument("--options", metavar="FILE", help="JSON object of options; - reads it from stdin")
    parser.add_argument("--requests-per-minute", type=int, help="shorthand for the option; 0 = no limit")
    parser.add_argument("--duration-s", type=float, help="shorthand for the option: mean duration of an execution")
    parser.add_argument(
        "--time-scale", type=float, default=1.0, help="sandbox seconds per real second; 0 = stands still"
    )
    parser.add_argument(
        "--start-at", metavar="TIME", help="ISO time at which the sandbox's clock starts (default: now)"
    )
    parser.add_argument("--ready-file", metavar="PATH", help="also write the line of urls there, when ready")
    parser.add_argument(
        "--exit-with-parent", action="store_true", help="exit when the process that started this one is gone"
    )
    parser.add_argument("--parent-pid", type=int, help="which process that is, if not the one seen at the start")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    parent = os.getppid()
    given = arguments().parse_args(argv)
    try:
        options = _options(given)
        start_s = parse_iso(given.start_at) if given.start_at else None
        clock = Clock(start_s=start_s)
        clock.set_scale(given.time_scale)
        service = Service(
            options, seed=given.seed, clock=clock, host=given.host, port=given.port, files_port=given.files_port
        )
    except (OptionError, ValueError, OSError) as bad:
        sys.stderr.write(f"sandbox: {bad}\n")
        return 2
    watched = (given.parent_pid or parent) if given.exit_with_parent else None
    return asyncio.run(_serve(service, ready_file=given.ready_file, parent=watched))


async def _serve(service: Service, *, ready_file: str | None, parent: int | None) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        await service.start()
    except OSError as taken:
        sys.stderr.write(f"sandbox: cannot listen: {taken}\n")
        return 2
    _announce(service, ready_file)
    while not stopping.is_set():
        if parent is not None and os.getppid() != parent:
            break
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), None if parent is None else _PARENT_LOOK_S)
    await service.stop()
    return 0


def _announce(service: Service, ready_file: str | None) -> None:
    api = service.url("api")
    line = json.dumps(
        {
            "api_url": f"{api}/api/v1",
            "scripe_url": f"{api}/v1",
            "control_url": f"{api}/_sandbox",
            "files_url": service.url("files"),
            "console_url": f"{api}/console/workflows/{{workflow_id}}/executions/{{execution_id}}",
            "workflows": {spec.name: spec.id for spec in service.world.specs()},
            "keys": [key.secret for key in service.live.current.keys],
            "scripe_keys": [key.secret for key in service.live.current.scripe_keys],
            "seed": service.seed,
            "pid": os.getpid(),
        }
    )
    if ready_file is not None:
        unfinished = Path(f"{ready_file}.{os.getpid()}")
        unfinished.write_text(line + "\n")
        unfinished.replace(ready_file)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _options(given: argparse.Namespace) -> Options:
    options = Options()
    if given.options:
        text = sys.stdin.read() if given.options == "-" else Path(given.options).read_text()
        options = parse_options(json.loads(text), base=options)
    shorthands: dict[str, Any] = {
        name: getattr(given, name) for name in ("requests_per_minute", "duration_s") if getattr(given, name) is not None
    }
    return parse_options(shorthands, base=options)


def _options_text() -> str:
    lines: list[str] = []
    for option in explain():
        choices = f" [{'|'.join(map(str, option['choices']))}]" if option["choices"] else ""
        default = (
            ""
            if option["name"] in ("keys", "scripe_keys", "workflows")
            else f" (default {json.dumps(option['default'])})"
        )
        lines.append(f"  {option['name']:<24} {option['says']}{choices}{default}".replace("%", "%%"))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
