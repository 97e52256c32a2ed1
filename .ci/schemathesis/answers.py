"""Says what the server answered; fails where the questions were not worth asking."""

import json
import sys
from collections import Counter
from pathlib import Path

# At least this share of root's questions that are as described is answered by what was asked for.
LEAST = 0.4

reached: dict[str, bool] = {}
for path in map(Path, sys.argv[1:]):
    statuses: Counter[int] = Counter()
    good = described = 0
    for operation, as_described, status, count in json.loads(path.read_text()):
        is_good = 200 <= status < 300
        statuses[status] += count
        described += as_described * count
        good += (as_described and is_good) * count
        reached[operation] = reached.get(operation, False) or is_good
    share = good / max(described, 1)
    by_status = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    print(
        f"{path.stem}: {statuses.total()} answers: {by_status}; {share:.0%} of the {described} "
        "to questions as described are 2xx"
    )
    if path.stem.endswith("root") and share < LEAST:
        sys.exit(f"less than {LEAST:.0%}: this says little about the server")

missing = {operation for operation, was in reached.items() if not was}
if missing:
    sys.exit(f"never answered 2xx: {', '.join(sorted(missing))}")
