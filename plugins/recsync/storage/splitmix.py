"""Mix 64-bit numbers, whole columns at once: the output function of splitmix64 (Steele, Lea, Flood 2014).

Fingerprints and hashes made with it are kept in files, so it must never change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The generator's increment; multiples of it are far apart.
STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every input bit over all output bits; one to one."""
    values = values ^ (values >> np.uint64(30))
    values *= _MIX_1
    values ^= values >> np.uint64(27)
    values *= _MIX_2
    values ^= values >> np.uint64(31)
    return values
