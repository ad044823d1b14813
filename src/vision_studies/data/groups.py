"""Images that belong together: copies of one picture, and what one patient, place or video shows."""

from collections.abc import Hashable, Sequence

import numpy as np


def same_groups(keys: Sequence[Hashable]) -> np.ndarray:
    """Number of the group of those with one key, int64 [N]; -1 where no other has it, and where the key is empty.

    Examples:
        >>> from vision_studies.data.groups import same_groups
        >>> same_groups(["a", "b", "a", "", ""]).tolist()
        [0, -1, 0, -1, -1]
    """
    first: dict[Hashable, int] = {}
    numbers = np.array([first.setdefault(key, len(first)) if key else -1 for key in keys], np.int64)
    return _only_groups(numbers)


def joined_groups(count: int, *links: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Number of the group of each of `count` images, int64; -1 of those that nothing links.

    Args:
        count: number of images.
        links: pairs of int64 arrays, places that belong together.

    Examples:
        >>> import numpy as np
        >>> from vision_studies.data.groups import joined_groups
        >>> joined_groups(5, (np.array([0, 3]), np.array([4, 4]))).tolist()
        [0, -1, -1, 0, 0]
    """
    first, second = (np.concatenate([np.zeros(0, np.int64), *ends]) for ends in zip(*links, strict=True))
    if not len(first):
        return np.full(count, -1, np.int64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(first), np.int8)
    _, numbers = connected_components(coo_array((ones, (first, second)), shape=(count, count)), directed=False)
    return _only_groups(numbers.astype(np.int64))


def links_of(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of places that make these groups, as `joined_groups` takes them: each place with the one before in its group."""
    places = np.flatnonzero(groups >= 0)
    places = places[np.argsort(groups[places], kind="stable")]
    same = groups[places[1:]] == groups[places[:-1]]
    return places[:-1][same], places[1:][same]


def _only_groups(numbers: np.ndarray) -> np.ndarray:
    """Numbers from 0 in the order of their first members; -1 of groups of one."""
    _, first, place, sizes = np.unique(numbers, return_index=True, return_inverse=True, return_counts=True)
    is_group = (sizes > 1) & (numbers[first] >= 0)
    order = np.argsort(np.where(is_group, first, len(numbers)), kind="stable")
    renumbered = np.full(len(sizes), -1, np.int64)
    renumbered[order[: is_group.sum()]] = np.arange(is_group.sum())
    return renumbered[place]
