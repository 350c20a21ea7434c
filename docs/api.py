"""Write the Python API as pages: python docs/api.py FOLDER (or `make docs`, into build/api)"""

import pkgutil
import sys
from pathlib import Path

import pdoc

import trm_arc

PACKAGES = ("augment", "trm_arc", "submission")


def main(folder: Path) -> None:
    """Write a page for every module, the names of the API in that of `trm_arc`."""
    for name in trm_arc.__all__:  # loaded on first access, which pdoc does not see
        vars(trm_arc)[name] = getattr(trm_arc, name)
    inside = [f"trm_arc.{found.name}" for found in pkgutil.iter_modules(trm_arc.__path__) if found.ispkg]
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*PACKAGES, *inside, r"!trm_arc\.train$", output_directory=folder)  # the command, not the function
    print(f"wrote {folder / 'index.html'}: {len(list(folder.rglob('*.html')))} pages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
