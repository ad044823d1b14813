"""Images and stacks that the tests of methods use."""

from tests.pipelines.stacking.conftest import counting_data, digits

__all__ = ["counting_data", "digits"]
