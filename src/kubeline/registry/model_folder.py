"""Where the packages of a registry lie that holds no files: ``FOLDER/NAME/DIGEST/package``, documents beside it."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from kubeline.addresses import redact, refuse_credentials, scheme
from kubeline.data.peek import reach
from kubeline.data.sources import STORES
from kubeline.errors import PlatformError, UserError, listed
from kubeline.registry import storage
from kubeline.registry.interface import ModelVersion, Submission

_PACKAGE = "package"


@dataclass(frozen=True)
class ModelFolder:
    """A folder of an object store, or one that is mounted.

    Attributes:
        uri: its address; empty where none was given, so that nothing can be registered.
        example: how an address of the registry gives one, for messages.
    """

    uri: str
    example: str

    def put(self, submission: Submission) -> str:
        """Copy a package and its documents, where they are not there yet; return the package's address.

        Raises:
            UserError: when there is no folder.
            PlatformError: when it cannot be used.
        """
        place = f"{self._required()}/{submission.name}/{submission.digest}"
        storage.put_package(submission.package, f"{place}/{_PACKAGE}")
        storage.put_texts(submission.documents, place, replace=False)
        return f"{place}/{_PACKAGE}"

    def probe(self) -> None:
        """Reach the folder.

        Raises:
            UserError: when there is none.
            PlatformError: when it cannot be used.
        """
        if scheme(self._required()) in STORES:
            reach(self.uri)

    def _required(self) -> str:
        if not self.uri:
            raise UserError(f"the registry has no folder for the packages; give one with its address: {self.example}")
        return self.uri


def digest_in(source: str) -> str:
    """The digest in the address of a package that :class:`ModelFolder` has put there; else empty."""
    rest, _, last = source.rstrip("/").rpartition("/")
    return rest.rpartition("/")[2] if last == _PACKAGE else ""


class FolderRegistry:
    """What registries without files of their own have in common: these lie where a version says."""

    def read_document(self, version: ModelVersion, name: str) -> str:
        """The text beside a package; empty where there is none."""
        place, _, last = version.source.rstrip("/").rpartition("/")
        return storage.read_text(f"{place}/{name}") if last == _PACKAGE else ""

    def write_documents(self, version: ModelVersion, documents: dict[str, str]) -> None:
        """Put texts beside a package, in the place of those that are there."""
        storage.put_texts(documents, version.source.rstrip("/").rpartition("/")[0], replace=True)

    def download(self, version: ModelVersion, into: Path) -> Path:
        """A local folder with the package of a version.

        Raises:
            PlatformError: when it has none.
        """
        if not version.source:
            raise PlatformError(f"{version.uri} names no place of a package; register the package again")
        return storage.download(version.source, into)


def split_address(uri: str, *known: str) -> tuple[str, dict[str, str]]:
    """An address of a registry without its options, and the options.

    Args:
        uri: such as ``vertex://PROJECT/LOCATION?store=gs://BUCKET/models``.
        known: names of options.

    Raises:
        UserError: when there is another one, or a key in the address of a store.
    """
    address, _, query = uri.partition("?")
    options = dict(parse_qsl(query))
    if wrong := sorted(options.keys() - set(known)):
        raise UserError(
            f"the registry's address '{redact(address)}' has no option '{wrong[0]}'; there are: {listed(known)}"
        )
    options = {name: value.rstrip("/") for name, value in options.items()}
    store = options.get("store", "")
    refuse_credentials(store, "store")
    if store and not scheme(store):  # the registry has it for others, who run elsewhere
        options["store"] = str(Path(store).expanduser().absolute())
    return address, options
