"""Programs that measure what the README states; none is a test."""

import trm_arc as trm_arc  # before torch is loaded anywhere: it says how OpenMP's threads wait
