"""Vision Studies: how image classifiers generalise, as eight Kedro pipelines over one training engine."""

import os

__version__ = "0.2.0"

# Large tensors in huge pages, where the kernel grants them. torch reads this once, at its very first allocation, so that it
# has to be set before anything else; `training.runtime.tune_process` tells why it matters.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
