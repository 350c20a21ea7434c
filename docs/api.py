"""Write the Python API as pages: python docs/api.py FOLDER (or `make docs`, into build/api)"""

import pkgutil
import sys
from importlib import import_module
from pathlib import Path

import pdoc

import trm_arc

PACKAGES = ("augment", "trm_arc", "submission")


def main(folder: Path) -> None:
    """Write a page for every module, the names of the API in that of `trm_arc`."""
    import_module("trm_arc.train")  # the command, whose name stands for the function below
    for name, home in trm_arc._HOME.items():  # loaded on first access, which pdoc does not see
        vars(trm_arc)[name] = getattr(import_module(home), name)
    trm_arc.__all__ += [found.name for found in pkgutil.iter_modules(trm_arc.__path__) if found.ispkg]  # else they have no page
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*PACKAGES, r"!trm_arc\.train$", output_directory=folder)
    print(f"wrote {folder / 'index.html'}: {len(list(folder.rglob('*.html')))} pages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
