"""Re-ranking with k-reciprocal encoding (Zhong et al., CVPR 2017), in sparse matrices.

Equals fast-reid's ``compute_jaccard_distance``, whose dense matrices have (queries + gallery)^2 entries each.
"""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np
import torch
from fastreid.utils.faiss_utils import index_init_cpu, index_init_gpu
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor


def jaccard(queries: Tensor, gallery: Tensor, k1: int = 20, k2: int = 6) -> Callable[[slice], Tensor]:
    """Jaccard distances between the k-reciprocal neighbourhoods of queries and gallery images.

    Args:
        queries, gallery: features of shape (images, dimensions).
        k1: how many neighbours to search for reciprocal ones, which describe an image.
        k2: how many neighbours, including the image itself, to average descriptions over.

    Returns:
        a function from a slice of queries to their float32 distances, shape (queries, gallery), on the CPU.
    """
    features = torch.cat((queries, gallery)).cpu()
    neighbours = _nearest(features, k1)
    weights = _weights(features, _expanded(neighbours, k1))
    if k2 != 1:
        expansion = _adjacency(neighbours[:, :k2])
        weights = expansion @ weights / np.float32(min(k2, neighbours.shape[1]))
    query_weights, gallery_weights = weights[: len(queries)], weights[len(queries) :].T.tocsr()

    def row(query: int) -> NDArray[np.float32]:
        own = slice(*query_weights.indptr[query : query + 2])
        others = gallery_weights[query_weights.indices[own]]
        shared = np.minimum(others.data, np.repeat(query_weights.data[own], np.diff(others.indptr)))
        intersection = np.bincount(others.indices, shared, minlength=len(gallery))
        # The weights of each image sum to 1.
        distances: NDArray[np.float32] = np.maximum(1 - intersection / (2 - intersection), 0).astype(np.float32)
        return distances

    return lambda some: torch.from_numpy(np.stack([row(query) for query in range(len(queries))[some]]))


def _nearest(features: Tensor, k: int) -> NDArray[np.int64]:
    """Indices of each image's ``k`` nearest images, nearest first, from fast-reid's own faiss index."""
    num_gpus = faiss.get_num_gpus()
    index = index_init_gpu(num_gpus, features.shape[1]) if num_gpus else index_init_cpu(features.shape[1])
    index.add(features.numpy())
    nearest: NDArray[np.int64] = index.search(features.numpy(), min(k, len(features)))[1]
    return nearest


def _adjacency(neighbours: NDArray[np.int64]) -> csr_array:
    """A matrix that is 1 where the column is a neighbour of the row."""
    images, k = neighbours.shape
    return csr_array(
        (np.ones(images * k, np.float32), neighbours.ravel(), np.arange(0, images * k + 1, k)), (images, images)
    )


def _expanded(neighbours: NDArray[np.int64], k1: int) -> csr_array:
    """k-reciprocal neighbours, plus the neighbours of each one that shares more than two thirds of them (Eq. 3)."""

    def reciprocal(k: int) -> csr_array:
        forward = _adjacency(neighbours[:, :k])
        return forward.multiply(forward.T.tocsr()).tocsr()

    near, nearer = reciprocal(k1 + 1), reciprocal(int(np.around(k1 / 2)) + 1)
    common = (near @ nearer.T).multiply(near).tocsr()
    common.data = (common.data > 2 / 3 * np.diff(nearer.indptr)[common.indices]).astype(np.float32)
    return (near + common @ nearer).tocsr()


def _weights(features: Tensor, neighbourhoods: csr_array) -> csr_array:
    """A row for each image: softmax over its neighbourhood of the negative squared distance."""
    norms = features.pow(2).sum(dim=1)
    weights = neighbourhoods.copy()
    for image, (start, end) in enumerate(zip(weights.indptr, weights.indptr[1:])):
        members = torch.from_numpy(weights.indices[start:end]).long()
        squared = torch.addmv(norms[members] + norms[image], features[members], features[image], alpha=-2)
        weights.data[start:end] = torch.softmax(-squared, dim=0).numpy()
    return weights
