"""Who we are to the API server of Kubeflow Pipelines. No secret is ever printed, logged or taken from an argument."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from kubeline.errors import PlatformError, UserError
from kubeline.http.credentials import secret_in
from kubeline.http.exchange import LOOPBACK

TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"  # noqa: S105 (a path; where Kubeflow mounts it)
TOKEN_FILE_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"  # noqa: S105 (a name; as the KFP SDK has it)
TOKEN_VARIABLE = "KUBELINE_KFP_TOKEN"  # noqa: S105 (a name)
PASSWORD_VARIABLE = "KUBELINE_DEX_PASSWORD"  # noqa: S105 (a name)
_SECONDS = 30.0
_FORM = re.compile(r"<form[^>]*\baction=\"([^\"]*)\"|<form[^>]*\bmethod=\"post\"", re.IGNORECASE)
_STEPS = 12  # redirects and forms of one sign-in, at most


@dataclass(frozen=True)
class Identity:
    """How to sign in; where nothing is given, a mounted token if there is one, else without credentials.

    Attributes:
        token_file: file of a service account's token, read anew for each request because mounted ones are renewed.
        cookie_file: file of a session's cookie, such as ``authservice_session=…``.
        iap_client_id: OAuth client of Google's Identity-Aware Proxy; the credentials are Google's defaults.
        dex_user: e-mail address or name to sign in with at Dex; the password is in a file, or in a variable.
        dex_password_file: file of that password.
    """

    token_file: str = ""
    cookie_file: str = ""
    iap_client_id: str = ""
    dex_user: str = ""
    dex_password_file: str = ""

    def headers(self, host: str, ca_file: str = "") -> "AuthHeaders":
        """What shows who we are.

        Raises:
            UserError: when more than one way is asked for.
        """
        asked = [self.token_file, self.cookie_file, self.iap_client_id, self.dex_user]
        if sum(map(bool, asked)) > 1:
            raise UserError("give one of --token-file, --cookie-file, --iap-client-id and --dex-user")
        mounted = os.environ.get(TOKEN_FILE_VARIABLE, TOKEN_FILE)
        token_file = self.token_file or (mounted if Path(mounted).is_file() else "")
        headers = AuthHeaders("", str, host)
        if self.cookie_file:
            headers = AuthHeaders(
                "Cookie", lambda: secret_in(self.cookie_file, "the session's cookie"), host, renews=True
            )
        elif self.iap_client_id:
            headers = AuthHeaders("Authorization", _iap(self.iap_client_id), host, can_renew=True)
        elif self.dex_user:
            headers = AuthHeaders("Cookie", lambda: self._sign_in(host, ca_file), host, can_renew=True)
        elif os.environ.get(TOKEN_VARIABLE) and not self.token_file:
            headers = AuthHeaders("Authorization", lambda: _bearer(os.environ[TOKEN_VARIABLE].strip()), host)
        elif token_file:
            headers = AuthHeaders(
                "Authorization", lambda: _bearer(secret_in(token_file, "the token")), host, renews=True
            )
        return headers

    def _sign_in(self, host: str, ca_file: str) -> str:
        if self.dex_password_file:
            password = secret_in(self.dex_password_file, "the password")
        else:
            password = os.environ.get(PASSWORD_VARIABLE, "")
        if not password:
            raise UserError(f"--dex-user needs a password; give --dex-password-file, or set {PASSWORD_VARIABLE}")
        return sign_in(host, self.dex_user, password, ca_file)


@dataclass
class AuthHeaders:
    """A header that shows who we are.

    Attributes:
        name: of the header; empty: no user is named.
        value: makes or reads it.
        host: where it goes.
        renews: whether it is to be read anew each time.
        can_renew: whether a new one can be had when the old one is refused.
    """

    name: str
    value: Callable[[], str]
    host: str
    renews: bool = False
    can_renew: bool = False
    _known: str = field(default="", repr=False)

    def current(self) -> dict[str, str]:
        """The header.

        Raises:
            UserError: when it cannot be had, or others could read it on its way.
        """
        if not self.name:
            return {}
        parts = urlsplit(self.host)
        name = parts.hostname or ""
        if parts.scheme != "https" and name not in LOOPBACK and not name.endswith((".svc", ".svc.cluster.local")):
            raise UserError(
                f"a token or session goes over https://, to this machine or within the cluster only, but --host is "
                f"'{self.host}'; give its https:// address"
            )
        if self.renews or not self._known:
            self._known = self.value()
        return {self.name: self._known}

    def renew(self) -> bool:
        """Forget what was refused; whether another one may be had."""
        before, self._known = self._known, ""
        return bool(self.name) and (self.can_renew or (self.renews and self.value() != before))


def _bearer(token: str) -> str:
    return f"Bearer {token}"


def _iap(client: str) -> Callable[[], str]:
    """An identity token for a proxy's OAuth client, by Google's default credentials."""

    def fetch() -> str:
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request
        from google.oauth2 import id_token

        try:
            return _bearer(id_token.fetch_id_token(Request(), client))
        except (GoogleAuthError, ValueError, OSError) as error:
            raise UserError(
                f"Google gives no identity token ({type(error).__name__}); set GOOGLE_APPLICATION_CREDENTIALS to the "
                "file of a service account, or run where one is attached"
            ) from error

    return fetch


def sign_in(host: str, user: str, password: str, ca_file: str = "") -> str:
    """Sign in at Dex, to which the gateway in front of Kubeflow sends who has no session; returns the cookie.

    Raises:
        UserError: when user or password are refused, or the server does not ask for them.
        PlatformError: when there is no answer.
    """
    import requests

    session = requests.Session()
    session.trust_env = False  # no proxies, no .netrc
    session.verify = ca_file or True
    try:
        answer, url = session.get(host, allow_redirects=False, timeout=_SECONDS), host
        for _ in range(_STEPS):
            if answer.is_redirect:
                url = _by_password(urljoin(url, answer.headers["Location"]))
                answer = session.get(_same_machine(url, host), allow_redirects=False, timeout=_SECONDS)
            elif (form := _FORM.search(answer.text)) and 'name="password"' in answer.text and password:
                url = urljoin(url, (form[1] or "").replace("&amp;", "&")) if form[1] else url
                fields = {"login": user, "password": password}
                password = ""  # it is sent once
                answer = session.post(_same_machine(url, host), data=fields, allow_redirects=False, timeout=_SECONDS)
            else:
                break
    except requests.RequestException as error:
        raise PlatformError(f"Dex at {host} does not answer ({type(error).__name__}); check --host") from error
    if password:
        raise UserError(f"{host} asks for no password; leave --dex-user out, or check --host")
    if 'name="password"' in answer.text or answer.status_code >= 400 or not session.cookies:
        raise UserError(f"Dex at {host} refuses '{user}' with this password; check both")
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)


def _by_password(url: str) -> str:
    """Where Dex asks which of its connectors to use, that of its own passwords."""
    parts = urlsplit(url)
    return parts._replace(path=f"{parts.path}/local").geturl() if parts.path.endswith("/dex/auth") else url


def _same_machine(url: str, host: str) -> str:
    """The address, when a password may go there: as private as the one that was given."""
    if urlsplit(host).scheme == "https" and urlsplit(url).scheme != "https":
        raise UserError(f"the sign-in of {host} leads to http://, where others could read the password")
    return url
