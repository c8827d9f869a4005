"""A file that a client of fsspec brings, counted as a transfer counts it."""

from fsspec.callbacks import Callback

from kubeline.data.transfer import Transfer


class FileTransfer(Callback):  # type: ignore[misc]  # fsspec has no types
    """One file of a transfer, as the clients of fsspec count it."""

    def __init__(self, transfer: Transfer):
        self._transfer, self._counted, self._announced = transfer, 0, 0
        super().__init__()

    def call(self, hook_name: str | None = None, **kwargs: object) -> None:
        """Check what has come since the last call."""
        if self.size and self.size != self._announced:
            self._announced = self.size
            self._transfer.require_room(self.size)
        new, self._counted = self.value - self._counted, self.value
        self._transfer.take(new)
