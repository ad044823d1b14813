"""Where images come from; one module a kind of source, all giving `RawImages`."""
