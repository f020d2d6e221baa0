"""What Microsoft's ODBC driver wants of the system and pip does not bring: libltdl, or an empty one in its place.

The driver's installer library is linked to libltdl (apt: libltdl7), with which it would load translators of character
sets; nothing here has any. Where the system lacks it, the tests load a library that has its functions, each of which
answers 0. In production install the real one.
"""

from __future__ import annotations

import ctypes
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

_NAME: Final = "libltdl.so.7"
_FUNCTIONS: Final = ("lt_dlinit", "lt_dlopen", "lt_dlsym", "lt_dlclose", "lt_dlerror", "lt_dlsetsearchpath")
_RETURN_0: Final = bytes.fromhex("31c0c3")  # xor eax, eax; ret
_PAGE: Final = 0x1000


@cache
def provide() -> None:
    """Have libltdl in this process, the system's or the empty one; call before the driver is loaded.

    Raises OSError on a machine for which the empty one is not made.
    """
    try:
        ctypes.CDLL(_NAME, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / _NAME
            path.write_bytes(_empty_library())
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)  # stays loaded after the file is gone


def _empty_library() -> bytes:
    """An ELF shared object for x86-64: a page of tables and code, and one of what the loader fills in."""
    names, offsets = b"\0", []
    for name in (_NAME, *_FUNCTIONS):
        offsets.append(len(names))
        names += name.encode() + b"\0"
    count = len(_FUNCTIONS) + 1
    symbols_at = 64 + 3 * 56
    hash_at = symbols_at + 24 * count
    names_at = hash_at + 4 * (2 + 1 + count)
    code_at = -(-(names_at + len(names)) // 16) * 16
    symbols = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", offset, 0x12, 0, 1, code_at, len(_RETURN_0)) for offset in offsets[1:]
    )
    # One bucket, its symbols one after the other.
    chain = [*range(2, count), 0]
    hash_table = struct.pack(f"<{3 + count}I", 1, count, 1, 0, *chain)
    tags = {14: offsets[0], 4: hash_at, 5: names_at, 6: symbols_at, 10: len(names), 11: 24, 0: 0}
    dynamic = b"".join(struct.pack("<QQ", tag, value) for tag, value in tags.items())
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    text_size = code_at + len(_RETURN_0)
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, text_size, text_size, _PAGE)
    for kind in (1, 2):
        segments += struct.pack("<IIQQQQQQ", kind, 6, _PAGE, _PAGE, _PAGE, len(dynamic), len(dynamic), _PAGE)
    text = (header + segments + symbols + hash_table + names).ljust(code_at, b"\0") + _RETURN_0
    return text.ljust(_PAGE, b"\0") + dynamic
