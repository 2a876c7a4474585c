"""Uvicorn around the studio."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from stemscribe.errors import StemscribeError
from stemscribe.studio.app import create_app
from stemscribe.studio.workspace import Workspace

LOCAL = "127.0.0.1"


def serve(workspace: Workspace, token: str, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Answer until interrupted.

    Args:
        workspace: the jobs.
        token: what every request has to carry.
        host: the address to listen on.
        port: 0 for any that is free.
        announce: told the address of the studio, once it answers there.

    Raises:
        StemscribeError: the address cannot be had.
    """
    listening = _listening(host, port)
    port = listening.getsockname()[1]
    here = f"[{host}]" if ":" in host else host
    names = {here, "localhost"} if host == LOCAL else {here}
    app = create_app(workspace, token, {f"{name}:{port}" for name in names})
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=2)
    _Server(config, lambda: announce(f"http://{here}:{port}/?token={token}")).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise StemscribeError(
            f"The studio cannot listen on {host}, port {port}: {error.strerror}.",
            hint="Choose another port with --port, or 0 for any that is free.",
        ) from error
    return listening


class _Server(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
