"""A machine whose every joule is known, and what an exporter sees of it.

Sockets with package and DRAM counters. The physics is not the estimator's: core energy goes with the square
of the voltage, which follows a clock that wanders by socket; leakage follows the temperature; memory
bandwidth saturates and then slows its users; co-runners evict each other's cache; a DRAM access costs more
on a busy bus; each container's instructions cost a little more or less than the average, which no counter
shows. What the exporter sees are wrapping counters, with noise in the meter and in when they are read.

On top, each on its own or together (physics): threads that share a core and what the core spends once; clocks
by core; a package whose waking costs watts; slower and thriftier cores; sockets unlike each other; idle power
that steps or drifts; loads that rest now and then, or that never do. Meters that lie are in `faults`; `run`
takes a machine through the estimator, and `scenarios` has the machines by name.

What it is not: there is no NUMA traffic between sockets, no turbo budget, no C-state of a single core (a
thread that waits costs nothing), no power limit, and no container changes its nature during its life.
"""

from tests.estimator.plant.characters import Characters
from tests.estimator.plant.physics import (
    PLAIN,
    Load,
    Physics,
    Step,
    draw,
    draw_any,
    draw_four_sockets,
    draw_size,
)
from tests.estimator.plant.plant import (
    CPUS_PER_SOCKET,
    INTERVAL_SECONDS,
    MAX_ENERGY_UJ,
    N_SOCKETS,
    ROOT_ID,
    ZONES,
    Plant,
    PlantTick,
)

__all__ = [
    "CPUS_PER_SOCKET",
    "INTERVAL_SECONDS",
    "MAX_ENERGY_UJ",
    "N_SOCKETS",
    "PLAIN",
    "ROOT_ID",
    "ZONES",
    "Characters",
    "Load",
    "Physics",
    "Plant",
    "PlantTick",
    "Step",
    "draw",
    "draw_any",
    "draw_four_sockets",
    "draw_size",
]
