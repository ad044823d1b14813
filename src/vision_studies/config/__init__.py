"""Typed parameters of every pipeline: types, ranges, meanings. Their values live in `conf/`."""
