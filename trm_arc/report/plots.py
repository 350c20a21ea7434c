"""Shared by all pictures of the kit: one style, files of equal bytes for equal data, and SVG for pages of any theme."""

import hashlib
import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from trm_arc.common.errors import InputError
from trm_arc.common.files import write_atomic
from trm_arc.common.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

MISSING = "pictures need matplotlib, which is not installed: `pip install 'trm_arc[report]'`"
# Of middling lightness, so that each has a contrast of 3:1 or more both on white and on near-black.
COLOURS = ("#2f7fd6", "#d1620c", "#218f52", "#d64570", "#8f62d9", "#a8770f", "#0f8a9c", "#7a8088")
SUFFIXES = (".svg", ".png")
_STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.alpha": 0.15,
    "grid.color": "#000000",  # black becomes the page's text colour, and the alpha keeps it faint on either theme
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "savefig.facecolor": "white",
    "svg.hashsalt": "trm_arc",
    "text.parse_math": False,  # names of runs are text, whatever dollars they hold
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}
_NAMESPACE, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def has_matplotlib() -> bool:
    """Whether pictures can be drawn."""
    return find_spec("matplotlib") is not None


def require_matplotlib() -> None:
    """Raise InputError unless pictures can be drawn."""
    if not has_matplotlib():
        raise InputError(MISSING)


@contextmanager
def _styled(**settings: Any) -> Iterator[None]:
    """matplotlib's defaults and the kit's style on top, not those of the user's own file, so that pictures are equal anywhere."""
    from cycler import cycler
    from matplotlib import style

    settings |= {"axes.prop_cycle": cycler(color=COLOURS)}
    with style.context(["default", _STYLE | settings]), warnings.catch_warnings():
        # A name may be in a script that matplotlib's font lacks; a box in its place is no reason to fail or to warn.
        warnings.filterwarnings("ignore", message=r"Glyph \d+")
        yield


@contextmanager
def make_figure(width: float, height: float) -> Iterator["Figure"]:
    """An empty figure; what is drawn inside the `with` block has the kit's style, and nothing outside it changes.

    Args:
        width: in inches.
        height: in inches.

    Raises:
        InputError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    with _styled():
        yield Figure(figsize=(width, height))


def add_legend(place: "Axes | Figure", handles: Sequence[Any], labels: Sequence[str], most: int = 40, **options: Any) -> "Legend":
    """A legend of untrusted names.

    Args:
        most: characters of a name.
    """
    # matplotlib leaves names out that begin with an underscore, so they are set when the legend is made.
    legend = place.legend(handles, ["name"] * len(handles), **options)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(printable(label, most))
    return legend


def scale_log(axis: "Axis") -> None:
    """Make a drawn axis logarithmic, with plain numbers at its ticks (powers would need math text, which is off)."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.5 else (1.0, 3.0) if decades < 3 else (1.0,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def render_figure(figure: "Figure", name: str) -> dict[str, bytes]:
    """A figure as SVG, and as PNG of 150 dots an inch, by the names of the files; equal figures give equal bytes.

    Args:
        name: of the files, without suffix.
    """
    metadata = ({"Date": None, "Creator": None}, {"Software": None})
    kinds = zip(SUFFIXES, metadata, strict=True)
    return {name + suffix: _render(figure, suffix[1:], metadata=fields, dpi=150) for suffix, fields in kinds}


def write_pictures(pictures: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write rendered pictures, by the names of their files.

    Raises:
        InputError: they cannot be written.
    """
    for name, data in pictures.items():
        write_atomic(folder / name, data)
    return [folder / name for name in pictures]


def _render(figure: "Figure", kind: str, fonts: str = "path", **options: Any) -> bytes:
    with _styled(**{"svg.fonttype": fonts}):
        if figure.get_layout_engine() is not None:
            # Laid out once: a second layout starts from the first one's outcome and would shift things slightly.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        written = io.BytesIO()
        figure.savefig(written, format=kind, **options)
    return written.getvalue()


def inline_svg(figure: "Figure", title: str, description: str) -> str:
    """A figure as an element of an HTML page: as wide as its place, text and axes in the page's text colour, on its background.

    Ids start with a hash of the picture, so that many fit in a page; no style element or attribute is left, so that the picture
    does not reach out to the page and a strict policy of content does not stop it.
    """
    written = _render(figure, "svg", "none", transparent=True, metadata={"Date": None, "Creator": None})
    words = {"title": printable(title), "desc": printable(description)}
    prefix = "f" + hashlib.sha256(written + "\0".join(words.values()).encode()).hexdigest()[:10]
    root = ElementTree.fromstring(written)
    _drop(root, "metadata", "style")
    for element in root.iter():
        element.tag = element.tag.removeprefix(_NAMESPACE)
        _rewrite(element.attrib, prefix)
    for number, (tag, text) in enumerate(words.items()):
        element = ElementTree.Element(tag, id=f"{prefix}-{tag}")
        element.text = text
        root.insert(number, element)
    shape = {"viewBox": root.attrib["viewBox"], "width": "100%", "id": prefix, "role": "img"}
    named = {"aria-labelledby": f"{prefix}-title", "aria-describedby": f"{prefix}-desc"}
    root.attrib = shape | named | {"fill": "currentColor", "stroke-linejoin": "round", "stroke-linecap": "butt"}
    return ElementTree.tostring(root, encoding="unicode").strip()


def _drop(element: ElementTree.Element, *names: str) -> None:
    for child in list(element):
        if child.tag.removeprefix(_NAMESPACE) in names:
            element.remove(child)
        else:
            _drop(child, *names)


def _rewrite(attributes: dict[str, str], prefix: str) -> None:
    """Give ids and links to them a prefix, and make the declarations of the style attribute attributes of their own."""
    declared = (part.partition(":") for part in attributes.pop("style", "").split(";") if ":" in part)
    attributes |= {name.strip(): value.strip() for name, _, value in declared if name.strip() != "font-family"}
    if _LINK in attributes:
        attributes["href"] = attributes.pop(_LINK)
    for name, value in attributes.items():
        if name == "id":
            attributes[name] = f"{prefix}-{value}"
        elif name == "href":
            attributes[name] = f"#{prefix}-{value.removeprefix('#')}"
        else:
            attributes[name] = value.replace("url(#", f"url(#{prefix}-").replace("#000000", "currentColor")
