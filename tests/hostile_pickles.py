"""Pickles that ask for a call when they are read."""


class Call:
    """Pickled as a call of `function`, which is made when it is read."""

    def __init__(self, function, *arguments):
        self.called = (function, arguments)

    def __reduce__(self):
        return self.called
