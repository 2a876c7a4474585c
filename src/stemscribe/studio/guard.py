"""Who may talk to the studio: pages that it has served itself, to somebody who was given its token.

Any page in any browser on this machine can send requests to 127.0.0.1. So every request has to carry the token, which
no other page knows; to name this server as its host, which a name that was rebound to 127.0.0.1 does not (DNS
rebinding); and, where a browser says from which page it comes, to come from one of ours.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "token"  # noqa: S105 - the name of the parameter
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{nonce}; img-src 'self' data: blob:; media-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_WHERE_FROM = "Open the address that `stemscribe studio` has printed: it has the token in it."


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


class Guard:
    """Lets through what may come in, and adds to every answer what a browser is to keep to.

    Args:
        app: what is guarded.
        token: what every request has to carry: in a cookie, as a bearer, or, to begin with, in the address.
        hosts: the names and ports, as in `127.0.0.1:8765`, under which the studio is known; one that listens on all
            addresses (`0.0.0.0:8765`, `[::]:8765`) is known under every address, and under no name.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self._app, self._token, self._hosts = app, token, frozenset(hosts)

    def _is_known(self, host: str) -> bool:
        if host in self._hosts:
            return True
        address, port = _address(host)
        everywhere = (_address(known) for known in self._hosts)
        return address is not None and any(all_of.is_unspecified and port == at for all_of, at in everywhere if all_of)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets here
        nonce = scope.setdefault("state", {})["nonce"] = secrets.token_urlsafe(16)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers["Content-Security-Policy"] = POLICY.format(nonce=f" 'nonce-{nonce}'")
                headers.setdefault("Cache-Control", "no-store")
                message["headers"] = headers.raw
            await send(message)

        response = self._refusal(scope) or self._entrance(scope)
        await (response or self._app)(scope, receive, answer)

    def _refusal(self, scope: Scope) -> Response | None:
        """Why a request is not let through, if it is not."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_known(host):
            return _refused("This is not the address of the studio.", 421)
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return _refused("The studio answers its own pages only.", 403)
        # A link to the studio from elsewhere may be followed, with the token; nothing else comes from there.
        follows_link = headers.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET"
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and not follows_link:
            return _refused("The studio answers its own pages only.", 403)
        if not any(secrets.compare_digest(self._token.encode(), given.encode()) for given in self._given(scope)):
            return _refused(f"There is no token, or not the right one. {_WHERE_FROM}", 401)
        return None

    def _given(self, scope: Scope) -> list[str]:
        """The tokens that a request carries."""
        headers = Headers(scope=scope)
        given = [value for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name == TOKEN]
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            given.append(bearer.strip())
        # Other programs at this address may have set cookies that only a browser's rules can read.
        if (cookie := cookie_parser(headers.get("cookie", "")).get(self._cookie(headers))) is not None:
            given.append(cookie)
        return given

    def _entrance(self, scope: Scope) -> Response | None:
        """To a page whose address has the token: the same page without it, and a cookie that has it instead."""
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        rest = [(name, value) for name, value in query if name != TOKEN]
        if len(rest) == len(query) or scope["method"] != "GET" or scope["path"].startswith("/api"):
            return None
        path = "/" + scope["path"].lstrip("/")  # two slashes would begin the name of another host
        response = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), status_code=303)
        response.set_cookie(self._cookie(Headers(scope=scope)), self._token, httponly=True, samesite="strict")
        return response

    @staticmethod
    def _cookie(headers: Headers) -> str:
        """The cookie's name: cookies do not know ports, and two studios may be open."""
        return f"stemscribe-{headers.get('host', '').rpartition(':')[2]}"


def _address(host: str) -> tuple[IPv4Address | IPv6Address | None, str]:
    """The address and the port of a host; a name has no address."""
    name, _, port = host.rpartition(":")
    try:
        return ip_address(name.strip("[]")), port
    except ValueError:
        return None, port


def _refused(reason: str, status: int) -> Response:
    return PlainTextResponse(f"{reason}\n", status)
