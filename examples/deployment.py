# SPDX-License-Identifier: Apache-2.0
"""A federation as separate processes over the loopback network: Flower's server, and a node for each worker.

On several machines the same three commands run on them (docs/federated.md). Here all of them are started, and end
with this program, also when it is interrupted. Nothing goes to any other machine.

    python examples/deployment.py [--weights weights.npz]
"""

import argparse
import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APP = Path(__file__).resolve().parent / "flower_app"
PROGRAMS = Path(sys.executable).parent
WORKERS = 3
PATIENCE = 60
"""Seconds that the server may take to start."""

PR_SET_CHILD_SUBREAPER = 36
GRACE = 10
"""Seconds that processes have to end by themselves."""


def free_ports(count):
    """Ports of this machine that nobody uses."""
    with contextlib.ExitStack() as sockets:
        taken = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in taken]


def running():
    """``{(number, time of its start): number of its parent}`` of all processes."""
    command = ["ps", "-A", "-o", "pid=,ppid=,stat=,lstart="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split(maxsplit=3) for line in listed]
    return {(int(pid), start): int(parent) for pid, parent, state, start in rows if not state.startswith("Z")}


def descendants(numbers):
    """Those of the running processes with some numbers, all that they have started, and what those started."""
    there, numbers = running(), set(numbers)
    while more := {pid for (pid, _), parent in there.items() if parent in numbers} - numbers:
        numbers |= more
    return {process for process in there if process[0] in numbers}


def left():
    """All processes that this one has started, but for itself, and the ``ps`` of each list."""
    own = os.getpid()
    return {process for process in descendants([own]) if process[0] != own} & running().keys()


@contextlib.contextmanager
def processes():
    """A function that starts programs; at the end of the context none of them, and none of theirs, is left."""
    started = []
    with contextlib.suppress(AttributeError):  # on Linux, what has lost its parent becomes a child of this process
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(name, *arguments, log, **environment):
        command = [PROGRAMS / name, *arguments]
        with Path(log).open("w") as stream:
            started.append(
                subprocess.Popen(
                    command,
                    stdout=stream,
                    stderr=stream,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for this program, which then ends them
                    env={**os.environ, **environment},
                )
            )
        return started[-1]

    try:
        yield start
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C does not disturb the tidying up
            signal.signal(number, signal.SIG_IGN)
        for process in started:
            process.terminate()
        deadline = time.monotonic() + GRACE
        while found := left():
            if time.monotonic() > deadline:
                for pid, _ in found:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
            for process in started:
                process.poll()  # or it would stay as it is, though it has ended


def wait_for(process, port, log):
    """Wait until a server takes connections."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise SystemExit(f"Flower's server did not start:\n{Path(log).read_text()}")


def run(folder, weights):
    """Start everything, run the app, and pass on what the server says; returns the exit code."""
    port, *nodes = free_ports(1 + WORKERS)
    address = f"127.0.0.1:{port}"
    # Neither telemetry nor a look for a newer Flower; its files are in the folder, not in the user's home
    quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1"}
    settings = {**quiet, "FLWR_HOME": str(folder), "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    (folder / "config.toml").write_text(
        f'[superlink]\ndefault = "loopback"\n[superlink.loopback]\naddress = "{address}"\ninsecure = true\n'
    )
    with processes() as start:
        server = start(
            "flower-superlink",
            "--insecure",
            "--disable-runtime-dependency-installation",
            f"--port={port}",
            log=folder / "server.log",
            **settings,
        )
        wait_for(server, port, folder / "server.log")
        others = {"server": server}
        for number, node in enumerate(nodes):
            others[f"node{number}"] = start(
                "flower-supernode",
                "--insecure",
                f"--superlink={address}",
                f"--port={node}",
                f"--node-config=partition-id={number}",
                log=folder / f"node{number}.log",
                **settings,
            )
        options = [f"--run-config=weights='{weights.resolve()}'"] if weights else []
        app = start("flwr", "run", APP, "loopback", "--stream", *options, log=folder / "run.log", **settings)
        return follow(app, others, folder)


def follow(app, others, folder):
    """Pass on the rounds that the server tells; returns the exit code."""
    finished = False
    with (folder / "run.log").open() as told:
        while True:
            ended = app.poll() is not None
            for line in told:
                if found := re.search(r"round (\d+)/(\d+): .*", line):
                    print(found[0], flush=True)
                    finished = found[1] == found[2]
            if ended and finished:
                return 0
            for name, process in {"run": app, **others}.items():
                if ended or process.poll() is not None:
                    text = (folder / f"{name}.log").read_text()
                    print(f"{name} has ended before the last round:\n{text}", file=sys.stderr)
                    return 1
            time.sleep(0.2)


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, metavar="FILE", help="write the weights there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for logs of all processes (default: removed)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deployment-")))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return run(folder.resolve(), arguments.weights)
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
