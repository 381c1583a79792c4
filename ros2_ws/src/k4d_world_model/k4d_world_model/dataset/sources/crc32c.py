"""The CRC-32C checksum (Castagnoli, RFC 3720 B.4) of large byte arrays, eight bytes a step."""

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # reflected 0x1EDC6F41
_TABLES = 8


def crc32c(data: bytes | memoryview) -> int:
    """The checksum, 0 to 2**32 - 1."""
    return int(_update(_tables(), np.frombuffer(data, np.uint8)))


@lru_cache(maxsize=1)
def _tables() -> NDArray[np.uint32]:
    """(8, 256): entry [k, b] is the remainder of byte b followed by k zero bytes."""
    tables = np.zeros((_TABLES, 256), np.uint32)
    tables[0] = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        tables[0] = (tables[0] >> 1) ^ np.where(tables[0] & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    for k in range(1, _TABLES):
        tables[k] = (tables[k - 1] >> 8) ^ tables[0][tables[k - 1] & 0xFF]
    tables.flags.writeable = False
    return tables


@njit(cache=True, nogil=True)
def _update(tables: NDArray[np.uint32], data: NDArray[np.uint8]) -> np.uint64:
    crc = np.uint64(0xFFFFFFFF)
    low = np.uint64(0xFF)
    whole = len(data) - len(data) % 8
    for i in range(0, whole, 8):
        word = crc ^ (
            np.uint64(data[i])
            | np.uint64(data[i + 1]) << np.uint64(8)
            | np.uint64(data[i + 2]) << np.uint64(16)
            | np.uint64(data[i + 3]) << np.uint64(24)
        )
        crc = np.uint64(
            tables[7, word & low]
            ^ tables[6, (word >> np.uint64(8)) & low]
            ^ tables[5, (word >> np.uint64(16)) & low]
            ^ tables[4, word >> np.uint64(24)]
            ^ tables[3, data[i + 4]]
            ^ tables[2, data[i + 5]]
            ^ tables[1, data[i + 6]]
            ^ tables[0, data[i + 7]]
        )
    for i in range(whole, len(data)):
        crc = np.uint64(tables[0, (crc ^ np.uint64(data[i])) & low]) ^ (crc >> np.uint64(8))
    return crc ^ np.uint64(0xFFFFFFFF)
