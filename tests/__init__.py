import trm_arc as trm_arc  # before torch, as in every program of the kit: it says how OpenMP's threads wait
