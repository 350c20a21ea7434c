"""Models of the Hub, from a small hub of our own on the loopback address: fetched, cached, and refused in one sentence."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.helpers import ROOT, messages
from trm_arc.model.locate import folder_for_results

says = messages(__name__)
pytestmark = pytest.mark.programs
COMMIT = "0123456789" * 4
GATED = "gated"
# In a process of its own, as the Hub's client reads its variables when it is imported.
SCRIPT = """
import json, sys
from trm_arc.common.errors import InputError
from trm_arc.model.hub import fetch
for name in sys.argv[1:]:
    try:
        print(json.dumps(["", *map(str, fetch(name))]))
    except InputError as error:
        print(json.dumps([str(error), str(error.file)]))
"""


class Hub(BaseHTTPRequestHandler):
    """What `snapshot_download` asks of the Hub; the folder of a model is `root/OWNER/NAME`."""

    protocol_version = "HTTP/1.1"

    def __init__(self, root: Path, *arguments: object) -> None:
        self.root = root
        super().__init__(*arguments)

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, data: bytes, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_GET(self) -> None:
        match self.path.split("?")[0].strip("/").split("/"):
            case ["api", "models", owner, name, kind, revision, *_]:
                folder = self.root / owner / name
                if name == GATED:
                    return self.answer(b"{}", 403, X_Error_Code="GatedRepo")
                if not folder.is_dir():
                    return self.answer(b"{}", 401, X_Error_Code="RepoNotFound")
                if revision not in ("main", COMMIT):
                    return self.answer(b"{}", 404, X_Error_Code="RevisionNotFound")
                files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
                names = [path.relative_to(folder).as_posix() for path in files]
                if kind == "tree":
                    rows = zip(names, files, strict=True)
                    listed = [{"type": "file", "path": n, "size": f.stat().st_size, "oid": n} for n, f in rows]
                    return self.answer(json.dumps(listed).encode())
                model = {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
                return self.answer(json.dumps(model).encode())
            case [owner, name, "resolve", _, *parts] if (file := self.root.joinpath(owner, name, *parts)).is_file():
                data = file.read_bytes()
                return self.answer(data, ETag=f'"{hashlib.sha1(data).hexdigest()}"', X_Repo_Commit=COMMIT)
        return self.answer(b"", 404)

    def do_HEAD(self) -> None:
        self.do_GET()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    model = tmp_path / "hub" / "team" / "small"
    (model / "runs" / "a").mkdir(parents=True)
    (model / "README.md").write_text("---\nlicense: mit\n---\n# small\n")
    (model / "checkpoint.json").write_text("{}")
    (model / "picture.png").write_bytes(b"large")
    (model / "runs" / "a" / "weights").write_bytes(b"abc")
    bare = tmp_path / "hub" / "team" / "bare"
    bare.mkdir()
    (bare / "README.md").write_text("no head")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, tmp_path / "hub")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def fetch(names: list[str], port: int, home: Path) -> list[list[str]]:
    """What `fetch` gives, or the error and the file that it names."""
    variables = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        env={name: value for name, value in os.environ.items() if not name.startswith("HF_")} | variables,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_a_model_is_fetched_and_answers_from_the_cache(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    names = ["hf://team/small", f"hf://team/small@{COMMIT}", "hf://team/small/runs/a", "hf://team/bare"]
    home = tmp_path / "home"
    fetched = fetch(names, hub.server_port, home)
    assert [(error, name, revision, licence) for error, name, _, revision, licence in fetched] == [
        ("", name, COMMIT, "" if name.endswith("bare") else "mit") for name in names
    ]
    whole, part = Path(fetched[0][2]), Path(fetched[2][2])
    assert sorted(path.name for path in whole.iterdir()) == ["README.md", "checkpoint.json", "runs"]  # no pictures
    assert (part / "weights").read_bytes() == b"abc"
    assert folder_for_results(part, Path("runs")) == Path("runs/small")
    hub.shutdown()
    hub.server_close()
    assert fetch(names, hub.server_port, home) == fetched
    [[error, file]] = fetch(["hf://team/other"], hub.server_port, home)
    assert (says("not-reached") in error, file) == (True, "hf:/team/other")


def test_mistakes_are_one_sentence(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    asked = {
        "hf://team/none": says("no-model"),
        "hf://team/small@v9": says("no-revision"),
        "hf://team/small/none": says("no-part"),
        f"hf://team/{GATED}": says("gated"),
        "hf://team": says("form"),
        "hf://": says("form"),
        "hf://team/small/../../secret": says("form"),
        "hf://team/small@": says("form"),
        "hf://te am/small": says("form"),
        "hf://-team-/small": says("cannot-be-fetched"),
    }
    for (name, reason), (error, *rest) in zip(asked.items(), fetch(list(asked), hub.server_port, tmp_path / "home"), strict=True):
        assert reason in error, (name, error)
        assert rest == [str(Path(name))]


def test_results_of_a_run_stay_in_its_folder(tmp_path: Path) -> None:
    assert folder_for_results(tmp_path / "run", Path("runs")) == tmp_path / "run"
