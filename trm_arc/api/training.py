"""Training in Python: a run by a preset, and the network that it gives."""

from pathlib import Path

from trm_arc.api.network import Network, load
from trm_arc.api.runs import SETTING_NAMES, SettingValue, make_machine, make_run, require_settings, run_training
from trm_arc.common.errors import InputError
from trm_arc.common.keywords import name_keywords
from trm_arc.common.paths import user_path
from trm_arc.config import DEFAULT_PRESET, Config, load_preset
from trm_arc.model.locate import RUNS


@name_keywords(SETTING_NAMES)
def train(
    preset: str | Path | Config | None = None,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    time_limit: str | float | None = None,
    fit: bool = False,
    evaluate_every: int = 0,
    evaluate_views: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    compile_mode: str = "auto",
    data_folder: str | Path | None = None,
    progress: bool = True,
    **settings: SettingValue,
) -> Network:
    """Train a network in a folder, as `python -m trm_arc.train` does; the network that this gives.

    Args:
        preset: settings to start from, by name, as a file or as a `Config`; None: "arc1", or those of the run that is continued.
        out: folder of the run; None: one below `runs`, called as the preset.
        resume: continue the run in `out`.
        overwrite: replace the run in `out`.
        time_limit: save and stop after this time, such as 11h30m or 45m.
        fit: make the run as long as the time limit allows.
        evaluate_every: steps between evaluations of the averaged weights; 0: none.
        evaluate_views: of a test input at most, in those.
        device: "auto", "cpu", or the name of an accelerator.
        precision: "auto", or one of those of the commands.
        compile_mode: what torch.compile compiles: "auto", "step", "block" or "none".
        data_folder: where to look for named sets first.
        progress: show a progress line, and what a user should know.
        settings: those of presets, by their names, which override the preset's: `trm_arc.settings()` lists them.

    Raises:
        InputError: settings, data or a folder that cannot be used.
    """
    require_settings(settings)
    if preset is None and not resume:
        preset = DEFAULT_PRESET
    if out is None and (preset is None or isinstance(preset, Config)):
        raise InputError("name the folder of the run: `out`")
    folder = RUNS / Path(preset).stem if out is None else user_path(out)
    run = make_run(
        folder,
        time_limit,
        fit=fit,
        progress=progress,
        resume=resume,
        overwrite=overwrite,
        evaluate_every=evaluate_every,
        evaluate_views=evaluate_views,
    )
    config = preset if preset is None or isinstance(preset, Config) else load_preset(preset)
    run_training(run, make_machine(device, precision, compile_mode, data_folder), config, settings)
    return load(folder, device=device, precision=precision)
