"""Which pieces of a triangle mesh are closed, so that their inside can never be seen."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

# A hole this small, across, shows less than a pixel of the inside at any useful distance; meshes from CAD exporters
# often miss single sliver triangles.
SMALLEST_HOLE = 5e-4


def find_closed_triangles(corners: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each triangle (n,) belongs to a closed piece, and whether that piece is wound inside out (n,).

    ``corners`` (n, 3, 3) in metres. Corners at equal positions are one vertex; a piece is what hangs together by
    vertices. It is closed when as many triangles run along each edge one way as the other, but for holes smaller than
    ``SMALLEST_HOLE``, and inside out when its signed volume is negative.
    """
    _, vertices = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    triangles = vertices.reshape(-1, 3)  # (n, 3)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    piece_of_vertex = _label_pieces(edges, int(triangles.max()) + 1)
    positions = np.zeros((len(piece_of_vertex), 3))
    positions[triangles] = corners
    borders = _find_border_edges(edges)
    open_pieces = np.unique(piece_of_vertex[_edges_of_large_holes(borders, positions)])
    piece = piece_of_vertex[triangles[:, 0]]
    volume = np.bincount(piece, weights=_signed_volumes(corners, piece))
    closed = ~np.isin(piece, open_pieces) & (volume[piece] != 0.0)
    return closed, closed & (volume[piece] < 0.0)


def _label_pieces(edges: NDArray[np.int64], vertex_count: int) -> NDArray[np.int32]:
    graph = coo_matrix((np.ones(len(edges), np.bool_), (edges[:, 0], edges[:, 1])), (vertex_count, vertex_count))
    return np.asarray(connected_components(graph, directed=False)[1])


def _find_border_edges(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Directed edges (k, 2) that do not run as often one way as the other."""
    undirected = np.sort(edges, axis=1)
    keys, index = np.unique(undirected, axis=0, return_inverse=True)
    surplus = np.bincount(
        index.reshape(-1), weights=np.where(edges[:, 0] < edges[:, 1], 1.0, -1.0), minlength=len(keys)
    )
    return np.asarray(keys[surplus != 0.0])


def _edges_of_large_holes(borders: NDArray[np.int64], positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """One vertex (k,) per border edge that belongs to a hole larger than ``SMALLEST_HOLE``."""
    hole_of_vertex = _label_pieces(borders, len(positions))
    low, high = np.full(positions.shape, np.inf), np.full(positions.shape, -np.inf)
    ends = borders.reshape(-1)
    np.minimum.at(low, hole_of_vertex[ends], positions[ends])
    np.maximum.at(high, hole_of_vertex[ends], positions[ends])
    size = np.linalg.norm(np.maximum(high - low, 0.0), axis=1)
    return np.asarray(borders[size[hole_of_vertex[borders[:, 0]]] > SMALLEST_HOLE, 0])


def _signed_volumes(corners: NDArray[np.float32], piece: NDArray[np.int32]) -> NDArray[np.float64]:
    """Volumes (n,) of the tetrahedra between each triangle and its piece's centre."""
    p = corners.astype(np.float64)
    count = np.bincount(piece)
    center = np.stack([np.bincount(piece, weights=p[:, :, k].mean(axis=1)) / count for k in range(3)], axis=-1)
    q = p - center[piece][:, None]
    return np.asarray(np.einsum("ij,ij->i", q[:, 0], np.cross(q[:, 1], q[:, 2])) / 6.0)
