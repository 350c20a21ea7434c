"""The names of the Python API for type checkers; `__init__.py` has what they are when a program runs."""

from submission.api import submit as submit
from trm_arc.api.network import Network as Network
from trm_arc.api.network import Solution as Solution
from trm_arc.api.network import load as load
from trm_arc.api.training import train as train
from trm_arc.common.errors import InputError as InputError
from trm_arc.config import PRESETS as PRESETS
from trm_arc.config import Config as Config
from trm_arc.config import ModelConfig as ModelConfig
from trm_arc.config import TrainingConfig as TrainingConfig
from trm_arc.config import settings as settings
from trm_arc.data.puzzle_set import PuzzleSet as PuzzleSet
from trm_arc.data.puzzle_sources import load_puzzles as load_puzzles
from trm_arc.data.sources import load_tasks as load_tasks
from trm_arc.data.task import Pair as Pair
from trm_arc.data.task import Task as Task
from trm_arc.data.task import TaskSet as TaskSet
from trm_arc.evaluation.results import Results as Results
from trm_arc.evaluation.submissions import score as score
from trm_arc.model.reasoner import Reasoner as Reasoner

__version__: str
