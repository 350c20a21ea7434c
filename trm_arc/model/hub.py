"""Models on the Hugging Face Hub: `hf://OWNER/NAME`, with `@REVISION` for another than the newest, and `/PATH` for a part of it.

What was fetched once is kept in the Hub's cache, and read from there where the Hub cannot be reached.
"""

import re
from pathlib import Path
from typing import NamedTuple

import yaml

from trm_arc.common.errors import InputError
from trm_arc.common.text import printable

PREFIX = "hf://"
_FORM = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[^/@]+))?(/(?P<part>[^@]+))?")
_CARD = "README.md"
_CACHED = "models--"  # begins the name of a model's folder in the cache
_NOT_NEEDED = ["*.png", "*.jpg", "*.gif", "*.svg", "*.mp4", "*.pdf", "*.ipynb"]


class HubModel(NamedTuple):
    """What was fetched.

    Attributes:
        name: as it was asked for.
        path: the folder or file, in the cache.
        revision: the commit.
        licence: as its card states it; empty if it states none.
    """

    name: str
    path: Path
    revision: str
    licence: str

    def __str__(self) -> str:
        licence = f"licence {self.licence}" if self.licence else "no licence stated"
        return printable(f"{self.name}: revision {self.revision[:12]}, {licence}")


def fetch(name: str) -> HubModel:
    """Fetch a model of the Hub, or find it in the cache.

    Raises:
        InputError: the name is of another form; the Hub has no such thing, wants a login, or cannot be reached.
    """
    match = _FORM.fullmatch(name)
    part = match["part"] if match else None
    if not match or (part and ".." in Path(part).parts):
        raise InputError(
            "not a model of the Hub: write hf://OWNER/NAME, hf://OWNER/NAME@REVISION or hf://OWNER/NAME/PATH", file=name
        )
    from huggingface_hub import errors, snapshot_download  # takes a third of a second

    allowed = [part, f"{part}/*", _CARD] if part else None
    asked = {"revision": match["revision"], "allow_patterns": allowed, "ignore_patterns": _NOT_NEEDED}
    try:
        folder = Path(snapshot_download(match["repository"], **asked))
    except errors.GatedRepoError:
        problem = "its owner grants access: ask for it on its page, then run `hf auth login`"
    except errors.RevisionNotFoundError:
        problem = f"the Hub has no revision {match['revision']} of this model"
    except errors.RepositoryNotFoundError:
        problem = "the Hub has no such public model; a private one needs `hf auth login`"
    except errors.LocalEntryNotFoundError:
        problem = "the Hub cannot be reached, and the cache does not have this model: fetch it once with a network"
    except (errors.HfHubHTTPError, OSError, ValueError) as error:
        problem = f"cannot be fetched ({printable(str(error).splitlines()[0], 200)})"
    else:
        if not part or (folder / part).exists():
            return HubModel(name, folder / part if part else folder, folder.name, _read_licence(folder / _CARD))
        problem = f"this model has no {part}"
    raise InputError(problem, file=name)


def name_of_cached(path: Path) -> str:
    """The name of the model in whose part of the cache a path is; empty if it is not in the cache."""
    cached = (folder.name for folder in (path, *path.parents) if folder.name.startswith(_CACHED))
    return next(cached, "").split("--")[-1]


def _read_licence(card: Path) -> str:
    """What the card of a model states at its head."""
    try:
        head = card.read_text(encoding="utf-8").split("---\n", 2)[1]
        stated = yaml.safe_load(head)
    except (OSError, ValueError, IndexError, yaml.YAMLError):
        return ""
    return str(stated.get("license") or "") if isinstance(stated, dict) else ""
