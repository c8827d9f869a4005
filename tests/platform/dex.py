"""A gateway that sends who has no session to Dex, and passes the others on to Kubeflow Pipelines."""

from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

from tests.support.kfp_server import KfpServer


class Gateway(BaseHTTPRequestHandler):
    """It lets `user@example.com` with `12341234` in, and the latest of `sessions`; Kubeflow is below /pipeline."""

    kfp: KfpServer
    sessions: list[str]

    def do_GET(self) -> None:
        if self.path.startswith("/pipeline"):
            self._kubeflow(b"")
        elif self.path.startswith("/callback"):
            self.sessions.append(f"session-{len(self.sessions)}")
            self._to("/home", f"authservice_session={self.sessions[-1]}; Path=/")
        else:
            self._dex()

    def _dex(self) -> None:
        if self.path.startswith("/dex/auth/local/login"):
            self._page(200, '<form method="post" action="/dex/auth/local/login?state=s"><input name="password">')
        elif self.path.startswith("/dex/auth/local"):
            self._to("/dex/auth/local/login?state=s")
        elif self.path.startswith("/dex/auth"):
            self._page(200, '<a href="/dex/auth/local">')
        else:
            self._page(200, "<html>Kubeflow</html>")

    def _kubeflow(self, body: bytes) -> None:
        if not self.sessions or self.headers.get("Cookie") != f"authservice_session={self.sessions[-1]}":
            self._to("/dex/auth?client_id=kubeflow&state=s")
            return
        status, _, answer = self.kfp.answer(self.command, self.path.removeprefix("/pipeline"), self.headers, body)
        self._page(status, answer.decode(), "application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fields = parse_qs(body.decode(errors="replace"))
        if self.path.startswith("/pipeline"):
            self._kubeflow(body)
        elif fields == {"login": ["user@example.com"], "password": ["12341234"]}:
            self._to("/callback?code=c")
        else:
            self._page(401, '<form method="post"><input name="password">Invalid Email Address and password')

    def _to(self, path: str, cookie: str = "") -> None:
        self.send_response(302)
        self.send_header("Location", path)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _page(self, status: int, text: str, kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


def gateway(server: KfpServer, given: list[str]) -> type[BaseHTTPRequestHandler]:
    """The handler of a gateway in front of `server`; `given` holds its sessions."""

    class Bound(Gateway):
        kfp = server
        sessions = given

    return Bound
