"""Services of Google Cloud by their REST form, with Google's default credentials.

google-auth is in every image, since gs:// needs it; Google's client libraries are not: the one for Vertex AI has more
than 100 MB.
"""

import os
from functools import cached_property
from typing import Any

from kubeline.errors import PlatformError, UserError
from kubeline.http.json_api import JsonApi
from kubeline.http.time_budget import within

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_SECONDS = 60.0  # for a token


class GoogleCredentials:
    """Google's default credentials: a file, the user of gcloud, or the metadata server of a pod (Workload Identity)."""

    @cached_property
    def found(self) -> Any:
        """What google-auth found.

        Raises:
            UserError: when it is nothing.
        """
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError

        try:
            credentials, _ = within(_SECONDS, lambda: google.auth.default(scopes=_SCOPES), "Google's metadata server")
        except DefaultCredentialsError as error:
            raise UserError(
                "Google Cloud does not know us; set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, "
                "run `gcloud auth application-default login`, or give the pod a service account by Workload Identity"
            ) from error
        return credentials

    def token(self) -> str:
        """An access token that is valid for some minutes at least.

        Raises:
            UserError: when there are no credentials.
            PlatformError: when Google gives none.
        """
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        if not self.found.valid:
            try:
                within(_SECONDS, lambda: self.found.refresh(Request()), "Google")
            except GoogleAuthError as error:
                raise PlatformError(
                    f"Google gives no access token ({type(error).__name__}); renew the credentials, or check the "
                    "service account of this pod"
                ) from None
        return str(self.found.token)

    def headers(self) -> dict[str, str]:
        """The header that shows the token."""
        return {"Authorization": f"Bearer {self.token()}"}

    def renew(self) -> bool:
        """Forget a token that was refused."""
        self.found.token = None
        return True


def address_of(service: str, usual: str) -> str:
    """Where a service is: at the variable of gcloud that leads elsewhere, if that is set, or at its usual address."""
    return (os.environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service.upper()}", "") or usual).rstrip("/")


def google_api(
    service: str, usual: str, credentials: GoogleCredentials, needed: str, patience: float = 120.0, given: str = ""
) -> JsonApi:
    """A service by its REST form.

    Args:
        service: its name as gcloud knows it, such as ``container``: the variable
            ``CLOUDSDK_API_ENDPOINT_OVERRIDES_CONTAINER`` leads elsewhere, such as to Private Service Connect.
        usual: its usual address.
        credentials: of who asks.
        needed: the role that is needed, for messages.
        patience: seconds for all tries of a request.
        given: its address, where a user names it.
    """
    return JsonApi(
        given or address_of(service, usual),
        f"Google's {service} service",
        known=credentials.headers,
        renew=credentials.renew,
        help_when_refused=f"the account needs {needed}",
        patience=patience,
    )
