"""The Kedro pipelines: graphs of thin nodes over the library."""
