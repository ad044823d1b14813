"""Images and stacks that the tests of methods use."""

from tests.methods.conftest import counting_data, digits

__all__ = ["counting_data", "digits"]
