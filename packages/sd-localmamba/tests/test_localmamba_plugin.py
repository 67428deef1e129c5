"""sd-localmamba installs, is discovered without heavy imports, and offers nothing yet."""

from sd_core.testing.plugin import PluginContract


class TestPlugin(PluginContract):
    distribution = "sd-localmamba"
    offers_nothing = True
