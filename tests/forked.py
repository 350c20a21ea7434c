"""Programs in processes of their own that need not import PyTorch, which takes seconds: a server that has done so forks them.

`[*python(), "-m", MODULE, ...]` and `[*python(), "-c", CODE, ...]` stand for the same with `sys.executable`.  Such a command is a
small client: it gives its arguments, environment, folder and streams to the server, passes signals on, and ends with the exit
code or by the signal of the program, which is killed where the client is.  What a test of start-up, of imports or of the
environment of the interpreter needs is the interpreter itself.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache

COMMANDS = ("trm_arc.train", "trm_arc.adapt", "trm_arc.evaluate", "submission.__main__", "submission.worker")
COMMANDS += ("accelerate.commands.launch", "torch.distributed.run")
LATER = ("torch._dynamo",)  # which the first optimizer imports, for seconds
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LENGTH = 4  # bytes of a number


@cache
def python() -> tuple[str, ...]:
    """What takes the place of the interpreter in a command.  The first call starts the server, which ends with this process."""
    name = f"trm-arc-tests-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen(64)
        command, root = [sys.executable, __file__, str(listener.fileno())], os.path.dirname(os.path.dirname(__file__))
        _server.append(subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, pass_fds=[listener.fileno()]))
    return sys.executable, "-I", "-S", __file__, name


_server: list[subprocess.Popen] = []  # keeps the pipe open, at whose end the server ends


def be_client(name: str, arguments: list[str]) -> int:
    """Have a program run by the server; gives its exit code, or minus the signal that ended it."""
    streams = [number for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)) if stream is not None]
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"\0{name}")
        order = json.dumps([streams, arguments, os.getcwd(), dict(os.environ)]).encode()
        socket.send_fds(server, [len(order).to_bytes(_LENGTH, "big")], streams)
        server.sendall(order)
        for number in _PASSED_ON:
            signal.signal(number, lambda number, _frame: server.send(bytes([number])))
        return int.from_bytes(server.recv(_LENGTH), "big", signed=True)


def serve(listener: socket.socket) -> tuple[list[int], bytes]:
    """Fork programs until standard input is closed; returns in a program alone, with its open streams and what it is to do."""
    import selectors

    programs: dict[socket.socket, int] = {}  # that run: process ids by the client's connection
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with selectors.DefaultSelector() as selector:

        def start() -> tuple[list[int], bytes] | None:
            connection, _ = listener.accept()
            length, streams, _, _ = socket.recv_fds(connection, _LENGTH, 3)
            order = connection.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
            pid = os.fork()
            if pid == 0:
                return streams, order
            for stream in streams:
                os.close(stream)
            programs[connection] = pid
            ended = os.pidfd_open(pid)
            selector.register(connection, selectors.EVENT_READ, lambda: pass_on(connection))
            selector.register(ended, selectors.EVENT_READ, lambda: finish(connection, ended))
            return None

        def pass_on(connection: socket.socket) -> None:
            number = connection.recv(1)
            os.kill(programs[connection], number[0] if number else signal.SIGKILL)
            if not number:  # the client is gone
                selector.unregister(connection)

        def finish(connection: socket.socket, ended: int) -> None:
            code = os.waitstatus_to_exitcode(os.waitpid(programs.pop(connection), 0)[1])
            selector.unregister(ended)
            os.close(ended)
            if connection in selector.get_map():
                selector.unregister(connection)
                with suppress(OSError):  # the client was killed just now
                    connection.sendall(code.to_bytes(_LENGTH, "big", signed=True))
            connection.close()

        def stop() -> None:
            for pid in programs.values():
                os.kill(pid, signal.SIGKILL)
            sys.exit()

        selector.register(listener, selectors.EVENT_READ, start)
        selector.register(sys.stdin, selectors.EVENT_READ, stop)
        while True:
            if forked := selector.select()[0][0].data():  # one at a time: it may end others
                return forked


def become(given: list[int], numbers: list[int], arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be the program."""
    import runpy
    import time
    import types

    os.setsid()
    for number in range(3):
        os.close(number)
    for stream, number in zip(given, numbers, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.modules["trm_arc.common.deadline"]._IMPORTED = time.monotonic()  # the server's is from long ago
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder
    encoding, _, errors = environment.get("PYTHONIOENCODING", "utf-8").partition(":")
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        handling = "backslashreplace" if name == "stderr" else errors or None
        stream = None
        if number in numbers:
            stream = open(number, mode, 1 if name == "stderr" else -1, encoding, handling, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    kind, sys.argv = arguments[0], arguments[1:]
    if kind == "-m":
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.modules["__main__"], text = types.ModuleType("__main__"), sys.argv[0]
        sys.argv[0] = "-c"
        exec(text, vars(sys.modules["__main__"]))


def leave(ended: BaseException | None) -> None:
    """End as the interpreter does after an error, but do not take the imported modules apart, which takes a second."""
    import atexit
    import threading

    code = 0
    if isinstance(ended, SystemExit):
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str) and sys.stderr is not None:
            print(ended.code, file=sys.stderr)
    elif ended is not None:
        sys.excepthook(type(ended), ended, ended.__traceback__)
        code = -signal.SIGINT if isinstance(ended, KeyboardInterrupt) else 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            code = 120
            with suppress(OSError):
                print(f"Exception ignored in: {stream}\n{type(error).__name__}: {error}", file=sys.stderr)
    end(code)


def end(code: int) -> None:
    """End this process with an exit code, or by a signal, which is minus the code."""
    if code < 0:
        if code != -signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def main() -> None:
    """The server, where the argument is the number of its socket; else a client."""
    if sys.argv[1].isdigit():
        import importlib

        sys.path[0] = os.getcwd()
        for name in COMMANDS + LATER:
            importlib.import_module(name)
        for name in COMMANDS:  # as in an interpreter that is asked for one of them
            del sys.modules[name]
        streams, order = serve(socket.socket(fileno=int(sys.argv[1])))
        ended = None
        try:
            become(streams, *json.loads(order))
        except BaseException as error:
            ended = error
        leave(ended)
    else:
        end(be_client(sys.argv[1], sys.argv[2:]))


if __name__ == "__main__":
    main()
