"""sd-localmamba installs, is discovered and offers nothing yet."""

from importlib.metadata import entry_points

from sd_core import hookspecs


def test_the_entry_point_loads_and_implements_no_hook() -> None:
    (entry,) = [e for e in entry_points(group=hookspecs.GROUP) if e.name == "sd-localmamba"]
    plugin = entry.load()
    assert plugin.__doc__
    assert not [name for name in vars(hookspecs) if name.startswith("sd_") and hasattr(plugin, name)]
