"""CRC-32, as zlib has it, by what here is quickest at it: ISA-L takes a third of zlib's time, where it is installed.

Both release the interpreter's lock for what is long.
"""

try:
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]
