import configparser
import pathlib

from packaging import version as versions

from nexperia_tf import version


def test_the_version_is_one_that_pip_can_order_and_stands_in_one_place():
    assert versions.Version(version.__version__).release >= (0, 1)
    setup = configparser.ConfigParser()
    setup.read(pathlib.Path(__file__).parents[1] / "setup.cfg")
    named = setup["metadata"]["version"].removeprefix("attr:").strip()
    assert named == "nexperia_tf.version.__version__"
