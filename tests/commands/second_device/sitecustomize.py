"""A second device for machines that have none: it computes on the CPU, but its tensors may not be mixed with the CPU's.

With this folder in PYTHONPATH every Python program finds an accelerator, "beside", and takes it as it would take a CUDA
device.  What would fail there fails here: a tensor left on the CPU, a generator of the wrong device, an array taken straight from
the device.  What would make the program wait for the device is counted, by the line that asked for it, in the file that
$SECOND_DEVICE_WAITS names.  Kernels, speed and memory are not those of an accelerator, of course.

The backend is PyTorch's own for Python programs (torch.utils.backend_registration); each tensor wraps one of the CPU.
"""

import atexit
import json
import os
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

NAME = "beside"
PROJECT = Path(__file__).resolve().parents[3]
# The few operators that take tensors of both sides, and those whose result's size only the device knows.
CROSSING = {"aten::copy_", "aten::_to_copy", "aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::set_"}
WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::_unique2", "aten::masked_select", "aten::equal"}
# Made by filling an empty tensor, which a wrapper cannot grow into; so they are made whole.
MADE = ("arange", "arange.start", "arange.start_step", "randperm", "randperm.generator", "linspace")

refused: set[torch.dtype] = set()  # what the device has not; Apple's have no float64
waits: Counter[str] = Counter()
host_generator = torch.Generator
generators: set[int] = set()  # those for this device; PyTorch may wrap one anew, so they are known by what is wrapped


class Module(backend_registration._DummyBackendModule):
    """What torch.beside is."""

    class Properties:
        """As of a device that multiplies bfloat16."""

        major, name, total_memory = 9, NAME, 2**36

    def get_device_properties(self, _device: object = None) -> type:
        """Of the one device."""
        return self.Properties

    def set_device(self, _device: object) -> None:
        """There is one."""


class Generator(host_generator):
    """A generator that knows which device it is for."""

    def __new__(cls, device: Any = "cpu") -> "Generator":
        return super().__new__(cls, torch.device("cpu"))

    def __init__(self, device: Any = "cpu") -> None:
        (generators.add if torch.device(device).type == NAME else generators.discard)(self._cdata)


class Beside(torch.Tensor):
    """A tensor of the second device.

    Args:
        raw: where its values are.
    """

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> "Beside":
        assert not isinstance(raw, Beside)
        layout = {"strides": raw.stride(), "storage_offset": raw.storage_offset(), "dtype": raw.dtype}
        tensor = torch.Tensor._make_wrapper_subclass(cls, raw.size(), **layout, device=f"{NAME}:0")
        tensor.raw = raw
        return tensor

    @classmethod
    def __torch_dispatch__(cls, operator: Any, _types: Any, arguments: tuple = (), options: dict | None = None) -> Any:
        return compute(operator, arguments, options or {})


def compute(operator: Any, arguments: tuple, options: dict[str, Any]) -> Any:
    """Do an operator on the CPU, after the checks that a device would make."""
    names = [argument.name for argument in operator._schema.arguments]
    options = dict(zip(names, arguments, strict=False)) | options
    name, leaves = operator._schema.name, tree_leaves(options)
    inside = [leaf for leaf in leaves if isinstance(leaf, Beside)]
    outside = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and not isinstance(leaf, Beside)]
    target = options.get("device")
    to_host = target is not None and torch.device(target).type == "cpu"
    misplaced = [leaf for leaf in outside if name not in CROSSING or leaf is options.get("values")]
    if inside and any(leaf.dim() for leaf in misplaced):
        raise RuntimeError(f"{name}: Expected all tensors to be on the same device, but some are on {NAME} and some on cpu")
    if any(isinstance(leaf, host_generator) and leaf._cdata not in generators for leaf in leaves) and not to_host:
        raise RuntimeError(f"{name}: Expected a '{NAME}' device type for generator but found 'cpu'")
    indices = [leaf for leaf in tree_leaves(options.get("indices")) if isinstance(leaf, torch.Tensor)]
    masks = any(leaf.dtype in (torch.bool, torch.uint8) for leaf in indices)  # how many they choose, only the device knows
    if name in WAITING or masks or to_host or (name == "aten::copy_" and not isinstance(options["self"], Beside)):
        note_wait()
    raw = {key: tree_map(lambda leaf: leaf.raw if isinstance(leaf, Beside) else leaf, value) for key, value in options.items()}
    if target is not None:
        raw["device"] = torch.device("cpu")
    result = operator(**raw)
    written = [a.name for a in operator._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    returned = operator._schema.returns
    if written and len(returned) == 1 and returned[0].alias_info is not None:  # in place: what was given is given back
        return options[written[0]]
    if to_host:
        return result
    if missing := refused & {leaf.dtype for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)}:
        raise TypeError(f"{name}: the device has no {missing}")
    views = any(r.alias_info is not None for r in returned) and not any(leaf.is_inference() for leaf in inside)
    with torch.inference_mode(torch.is_inference_mode_enabled() and not views):  # views of common tensors are common ones
        return tree_map(lambda leaf: Beside(leaf) if isinstance(leaf, torch.Tensor) else leaf, result)


def note_wait() -> None:
    """Count a wait under the innermost line of the project that led to it."""
    ours = [f for f in traceback.extract_stack() if Path(f.filename).is_relative_to(PROJECT) and f.filename != __file__]
    ours = [f for f in ours if "site-packages" not in f.filename]  # a virtual environment may lie in the project
    waits[f"{Path(ours[-1].filename).name} {ours[-1].name}" if ours else "elsewhere"] += 1


def register() -> None:
    """Make the device known to PyTorch."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    libraries.append(torch.library.Library("_", "IMPL"))
    libraries[-1].fallback(lambda operator, *a, **k: compute(operator, a, k), "PrivateUse1")
    libraries.append(torch.library.Library("aten", "IMPL"))
    for name in MADE:
        packet, _, overload = name.partition(".")
        operator = getattr(getattr(torch.ops.aten, packet), overload or "default")
        libraries[-1].impl(name, lambda *a, operator=operator, **k: compute(operator, a, k), "PrivateUse1")
    torch.Generator = Generator
    torch.accelerator.synchronize = torch.accelerator.empty_cache = lambda *_: None


libraries: list[torch.library.Library] = []
register()
if "SECOND_DEVICE_WAITS" in os.environ:
    atexit.register(lambda: Path(os.environ["SECOND_DEVICE_WAITS"]).write_text(json.dumps(waits)))
