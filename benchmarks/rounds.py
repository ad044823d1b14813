"""Forms of one piece of work, each in a process of its own, taken in turn.

The allocator of one form does not serve another, and only one works at a time; ratios can be formed within a round, so that
other work on the machine touches all forms alike.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack


def measure(module: str, forms: Mapping[str, bool], rounds: int, *options: str) -> dict[str, list[list[float]]]:
    """Seconds of each step: form -> rounds -> steps.

    Args:
        module: run as `python -m <module> --serve <form>`; for every line of input it prints a JSON list of seconds.
        forms: name -> whether its process may keep huge pages, as the project's own do.
        rounds: how often each form is asked.
        options: further arguments of the processes.
    """
    seconds: dict[str, list[list[float]]] = {form: [] for form in forms}
    with ExitStack() as stack:
        servers = {}
        for form, tuned in forms.items():
            command = [sys.executable, "-m", module, "--serve", form, *options]
            pages = os.environ | {"THP_MEM_ALLOC_ENABLE": "1" if tuned else "0"}
            server = subprocess.Popen(command, env=pages, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            servers[form] = stack.enter_context(server)
            _ask(server)  # warm before the next one starts
        for _ in range(rounds):
            for form, server in servers.items():
                seconds[form].append(_ask(server))
    return seconds


def _ask(server: "subprocess.Popen[str]") -> list[float]:
    """Seconds of a few steps of one form."""
    if server.stdin is None or server.stdout is None:
        raise ValueError("the process was started without pipes")
    server.stdin.write("\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    if not answer:
        raise RuntimeError(f"a measuring process has ended: {server.args}")
    return json.loads(answer)
