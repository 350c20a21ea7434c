"""The competition entry: a checkpoint and a challenges file in, a checked submission.json out."""

import trm_arc as trm_arc  # before torch is loaded anywhere: it says how OpenMP's threads wait
