"""A Zarr store that refuses what Zarr would silently read as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.storage import WrapperStore

from dask_gmm.data.objects import content_fault, head_bytes
from dask_gmm.data.remote import explained
from dask_gmm.errors import InputDataError

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
REMEDY = "restore it from a copy or write the array again"


class CheckedStore(WrapperStore[Store]):
    """A store whose chunks are judged as they are read, before anything decodes them.

    Zarr takes an absent chunk for one of nothing but the fill value, and an empty or truncated one
    for whatever its codecs make of it. Here all of them end in an error that names the chunk.

    Parameters
    ----------
    store : Store
    name : str
        What messages call it.
    fill_missing : bool
        Whether absent chunks may be read as the fill value.
    blosc, index_first
        See `objects.content_fault`.
    """

    def __init__(
        self, store: Store, name: str, *, fill_missing: bool, blosc: bool, index_first: int
    ) -> None:
        super().__init__(store)
        self._name, self._fill_missing = name, fill_missing
        self._blosc, self._index_first = blosc, index_first

    def _with_store(self, store: Store) -> CheckedStore:
        return CheckedStore(
            store,
            self._name,
            fill_missing=self._fill_missing,
            blosc=self._blosc,
            index_first=self._index_first,
        )

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object or a part of it; refuse one that is missing, empty or too short."""
        try:
            found = await self._store.get(key, prototype, byte_range)
        except MemoryError:
            raise
        except OSError as error:
            if error.errno is not None and error.filename is not None:
                raise self._refusal(key, f"not readable ({error.strerror})") from error
            raise self._unread(key, error) from None
        except Exception as error:  # every remote file system has its own
            raise self._unread(key, error) from None
        if key.rpartition("/")[2] in METADATA:
            return found
        if found is None:
            if self._fill_missing:
                return None
            raise self._refusal(key, "missing")
        fault = self._fault(found, byte_range)
        if fault is not None:
            raise self._refusal(key, fault)
        return found

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return parts of objects, each judged like any other."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    def _fault(self, found: Buffer, part: ByteRequest | None) -> str | None:
        size = len(found)
        if part is None:
            wanted = head_bytes(blosc=self._blosc, index_first=self._index_first)
            head = found[:wanted].to_bytes() if wanted else b""
            return content_fault(size, head, blosc=self._blosc, index_first=self._index_first)
        if size == 0:
            return "empty"
        asked = 0
        if isinstance(part, RangeByteRequest):
            asked = part.end - part.start
        elif isinstance(part, SuffixByteRequest):
            asked = part.suffix
        return f"truncated ({size} bytes where {asked} should be)" if size < asked else None

    def _refusal(self, key: str, fault: str) -> InputDataError:
        return InputDataError(f"{self._name}: chunk {key} is {fault}; {REMEDY}")

    def _unread(self, key: str, error: Any) -> InputDataError:
        return InputDataError(f"{self._name}: chunk {key} cannot be read: {explained(error)}")
