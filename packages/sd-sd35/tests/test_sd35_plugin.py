"""sd-sd35 installs, is discovered without heavy imports, and offers nothing yet."""

from sd_core.testing.plugin import PluginContract


class TestPlugin(PluginContract):
    distribution = "sd-sd35"
    offers_nothing = True
