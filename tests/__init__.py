from pathlib import Path

import trm_arc as trm_arc  # before torch, as in every program of the kit: it says how OpenMP's threads wait

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"  # real data and reference arrays, beside the project
