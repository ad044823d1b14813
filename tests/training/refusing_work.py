"""Work that one of its processes refuses; it imports little, as every process does that first."""

from vision_studies.errors import DataError
from vision_studies.training.collectives import agreed


def refuse_in_one(share, device, on_epoch):
    if share.rank == 1:
        raise DataError("the images of one process are gone.")
    return agreed(True, share, device)
