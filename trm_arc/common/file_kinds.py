"""What a file is that was named for JSON or a table and is neither: for messages."""

import json

# The first bytes of files that people have tasks and puzzles in, or download instead of them.
_MAGIC = {
    b"PAR1": "a Parquet file; write its rows as JSON or CSV first",
    b"ARROW1": "an Arrow file; write its rows as JSON or CSV first",
    b"PK\x03\x04": "a zip archive; unpack it, and name what was in it",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "compressed by gzip; unpack it first",
    b"BZh": "compressed by bzip2; unpack it first",
    b"\xfd7zXZ": "compressed by xz; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard; unpack it first",
    b"7z\xbc\xaf": "a 7z archive; unpack it, and name what was in it",
    b"Rar!": "a rar archive; unpack it, and name what was in it",
    b"\x80\x02": "a pickle, which is never read; write its contents as JSON or CSV",
    b"\x80\x03": "a pickle, which is never read; write its contents as JSON or CSV",
    b"\x80\x04": "a pickle, which is never read; write its contents as JSON or CSV",
    b"\x80\x05": "a pickle, which is never read; write its contents as JSON or CSV",
    b"\x93NUMPY": "a NumPy array; write its contents as JSON or CSV",
    b"\x89HDF": "an HDF5 file; write its contents as JSON or CSV",
    b"SQLite format 3": "an SQLite database; write its rows as JSON or CSV",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program",
    b"\xff\xfe\0\0": "UTF-32 text; save it as UTF-8",
    b"\0\0\xfe\xff": "UTF-32 text; save it as UTF-8",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; get that with `git lfs pull`",
}
_TAR = 257  # where a tar archive has its mark


def describe_kind(start: bytes) -> str | None:
    """What a file is, with what to do; None if its first bytes do not show it.

    Args:
        start: the first bytes of the file, or all; 64 KiB suffice.
    """
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    if start[_TAR:].startswith(b"ustar"):
        return "a tar archive; unpack it, and name what was in it"
    if start and not start.strip(b"\0"):
        return "a file that contains only zero bytes, as after a write to a full disk; copy or create it again"
    encoding = json.detect_encoding(start[:4])  # also without a byte-order mark
    if start[8:10] == b'{"':  # after the length of the header
        return "a safetensors file"
    if b"\0" in start[:4] and encoding != "utf-8" and start[:64].decode(encoding, "ignore").isascii():
        return f"{encoding[:6].upper()} text; save it as UTF-8"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:9].lower() == b"<!doctype" or text[:5].lower() in (b"<html", b"<?xml"):
        return "a web page, not the file that was to be downloaded; log in, or use another address"
    lines = [line for line in text.split(b"\n", 2)[:2] if line.strip()]
    if len(lines) == 2 and all(map(_is_document, lines)):
        return "JSON lines, a document on each line"
    return None


def _is_document(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False
