"""How many streams each property sees. `SPANLOOM_PROPERTY_SCALE=20` makes it twenty times as many.

Derandomized: the ordinary run sees the same streams on every machine, so that it is green or red
for a reason in the code. A scale other than 1 draws new ones each time.
"""

import os

from hypothesis import HealthCheck, Phase, settings

SCALE = float(os.environ.get("SPANLOOM_PROPERTY_SCALE", "1"))

FIGURES: list[str] = []
"""What the run saw, printed at its end."""


def streams(count: int) -> settings:
    """The settings of a property that is tried on `count` streams."""
    return settings(
        max_examples=max(1, round(count * SCALE)),
        derandomize=SCALE == 1,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        print_blob=True,
    )
