"""What a file is that was named for JSON or a table."""

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from trm_arc.common.errors import InputError
from trm_arc.common.file_kinds import describe_kind
from trm_arc.common.files import read_json


def _make(kind: str) -> bytes:
    stream = io.BytesIO()
    match kind:
        case "zip archive":
            with zipfile.ZipFile(stream, "w") as archive:
                archive.writestr("a.json", "{}")
        case "empty zip archive":
            zipfile.ZipFile(stream, "w").close()
        case "tar archive":
            with tarfile.open(fileobj=stream, mode="w") as archive:
                archive.addfile(tarfile.TarInfo("a.json"))
        case "NumPy array":
            np.save(stream, np.zeros(3))
    return stream.getvalue()


KINDS = {
    "zip archive": _make("zip archive"),
    "empty zip archive": _make("empty zip archive"),
    "tar archive": _make("tar archive"),
    "NumPy array": _make("NumPy array"),
    "gzip": gzip.compress(b"{}"),
    "pickle": pickle.dumps({"a": 1}),
    "Parquet": b"PAR1\x15\x04\xff",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-16 text": '{"a": 1}'.encode("utf-16-le"),
    "UTF-16 text;": '{"a": 1}'.encode("utf-16-be"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "UTF-32 text": '{"a": 1}'.encode("utf-32-be"),
    "only zero bytes": bytes(100),
    "web page": b"\n<!DOCTYPE html>\n<html></html>",
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
    "safetensors file": (60).to_bytes(8, "little") + b'{"a": {"dtype": "F32"}}',
    "JSON lines": b'{"a": 1}\n{"a": 2}\n',
}


def test_bytes_of_no_known_kind_are_no_text() -> None:
    assert describe_kind(b"a\x05\0\0bcdefgh") is None


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_named_as_what_they_are(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_bytes(KINDS[kind])
    with pytest.raises(InputError, match=f"is .*{kind}") as caught:
        read_json(path)
    assert caught.value.file == path


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\1\0abc", b"{}", b"[1, 2]", b'{\n"a": 1}', b"53..7", b"question,answer\n1,2\n", b"{\n{\n", b"[1]\nx"]
)
def test_what_may_be_json_or_a_table_has_no_other_name(content: bytes) -> None:
    assert describe_kind(content) is None
