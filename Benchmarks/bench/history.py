"""semq's own record of grants and releases."""

import datetime
import json

from . import processes


def handovers(queue: str) -> list[float]:
    """From each release to the grant that followed it, in ns."""
    gaps = []
    released = None
    text = processes.read(queue + ".history.1") + processes.read(queue + ".history")
    for line in text.splitlines():
        event = json.loads(line)
        time = datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp() * 1e9
        if event["event"] == "released":
            released = time
        elif event["event"] == "granted":
            # The token is the moment of the grant in µs; the first grant waited for nobody.
            if released is not None:
                gaps.append(event["token"] * 1000 - released)
            released = None
    return gaps
