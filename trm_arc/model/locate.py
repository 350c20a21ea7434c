"""Where a model is that a user names: a checkpoint, a folder of a run, a model of the Hub, or a network of the kit."""

from collections.abc import Callable
from pathlib import Path

from trm_arc.common.errors import InputError, did_you_mean
from trm_arc.common.paths import user_path
from trm_arc.data.domains import Domain
from trm_arc.data.domains.arc import ARC
from trm_arc.model.checkpoint_files import may_answer, newest_checkpoint
from trm_arc.model.hub import PREFIX, fetch, name_of_cached

RUNS = Path("runs")  # the folder of runs, if none is named
NETWORKS = Path(__file__).parents[1] / "networks"  # folders that `trm_arc.publish` made


class ModelName(str):
    """The type of a flag that names a model; see `locate`."""


def list_networks(folder: Path = NETWORKS) -> list[str]:
    """The names of the networks that come with the kit."""
    return sorted(path.parent.name for path in folder.glob("*/checkpoint.json"))


def locate(name: str, say: Callable[[str], object] = print) -> Path:
    """The folder or file of a model.

    Args:
        name: a path, `hf://OWNER/NAME`, or the name of a network that comes with the kit, if nothing of this name is here.
        say: gets a line on what was fetched.

    Raises:
        InputError: a model of the Hub cannot be had, or there is nothing of this name.
    """
    if name.startswith(PREFIX):
        model = fetch(name)
        say(str(model))
        return model.path
    path = user_path(name)
    if path.name != name or path.exists():
        return path
    if name not in (networks := list_networks()):
        near = did_you_mean(name, networks) or f"; those are {', '.join(networks)}"
        raise InputError(f"neither here nor a network that comes with the kit{near}", file=name)
    return NETWORKS / name


def list_networks_for(domain: Domain) -> list[str]:
    """The names of the networks of the kit that answer a kind of puzzle."""
    return [name for name in list_networks() if may_answer(NETWORKS / name, domain)]


def find_for(domain: Domain | None, runs: Path) -> Path:
    """The newest checkpoint below `runs` that answers a kind of puzzle, or else the network of the kit that does.

    Args:
        domain: the kind of puzzle; None: any, and of the kit's networks one for ARC.

    Raises:
        InputError: there is neither.
    """
    try:
        return newest_checkpoint(runs, domain)
    except InputError as error:
        wanted = domain or ARC
        for name in list_networks_for(wanted):
            return NETWORKS / name
        raise InputError(f"{error.problem}; nor does the kit come with a network for {wanted.title}", file=runs) from None


def folder_for_results(run: Path, runs: Path) -> Path:
    """Where results of a model belong: its run's folder; if it is not the user's, one of its name below `runs`."""
    name = run.name if run.parent == NETWORKS else name_of_cached(run)
    return runs / name if name else run
