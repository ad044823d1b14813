"""Images and stacks that the tests of methods use."""

from tests.pipelines.conftest import digits
from tests.pipelines.stacking.conftest import counting_data

__all__ = ["counting_data", "digits"]
