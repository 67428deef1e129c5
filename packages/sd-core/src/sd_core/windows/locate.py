"""Where a dataset is, by the name the config gives it."""

from __future__ import annotations

import re
from pathlib import Path

from sd_core.errors import SdError

WAYS_ON = (
    "build one from recordings with `sd-data build eegmat --source DIR -o {name}`, "
    "or take the generated one with `--set dataset.name=demo`"
)
"""What a user without data can do; formatted with the name they asked for."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def locate(name: str, data_root: str) -> str:
    """Find a dataset as given, under the working directory, or under the data root.

    Args:
        name: A path, or a hub id such as "org/name".
        data_root: `[settings] data_root`.

    Returns:
        An absolute path, or the hub id as given where nothing stands on disk under that name.

    Raises:
        SdError: there is nothing and it cannot be a hub id; names the two ways on.
    """
    given, root = Path(name).expanduser(), Path(data_root).expanduser()
    places = [given.absolute()] if given.is_absolute() else [given.absolute(), (root / given).absolute()]
    for place in places:
        if place.exists():
            return str(place)
    if _HUB_ID.fullmatch(name):
        return name
    looked = " or ".join(f"'{place}'" for place in dict.fromkeys(places))
    raise SdError(f"no dataset at {looked}; {WAYS_ON.format(name=name)}")
