"""Programs that tests need and Debian has: installed where that is possible without asking anybody."""

import os
import shutil
import subprocess
from collections.abc import Callable


def found_or_installed(find: Callable[[], str | None], package: str, name: str) -> tuple[str | None, str]:
    """Path of a program, or None and the reason.

    Args:
        find: looks for the program.
        package: Debian's package that has it.
        name: what the program is called in the reason.
    """
    if path := find():
        return path, ""
    if not shutil.which("apt-get"):
        return None, f"{name} is not installed, and there is no apt-get to install it with"
    privilege = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if privilege and not shutil.which("sudo"):
        return None, f"{name} is not installed, and installing it needs root"
    command = [*privilege, "apt-get", "install", "-y", "--no-install-recommends", package]
    try:
        subprocess.run([*privilege, "apt-get", "update"], capture_output=True, timeout=120, check=False)
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return None, f"{name} is not installed, and apt-get took more than five minutes"
    if path := find():
        return path, ""
    last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
    return None, f"{name} is not installed, and `{' '.join(command)}` failed: {last[0]}"
