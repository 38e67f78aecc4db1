"""Turn item metadata into vectors: categories, numbers and text."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]  # ships no stubs
from sklearn.preprocessing import normalize  # type: ignore[import-untyped]  # ships no stubs
from sklearn.utils.extmath import randomized_svd  # type: ignore[import-untyped]  # ships no stubs

from personalize_local.engine.factors import THREADPOOLS
from personalize_local.engine.inputs import ItemText
from personalize_local.engine.interactions import Float32Array, IntArray, codes

NOT_METADATA = frozenset({"ITEM_ID", "CREATION_TIMESTAMP"})
# Numbers are binned by deciles.
NUMBER_BINS = 10
MAX_WORDS = 100_000
SEED = 7
_TAG = re.compile(r"<[^>]+>")


def metadata_matrix(items: pa.Table, item_ids: pa.Array, text: ItemText) -> Any:
    """Build the sparse matrix of metadata, items by features; None when no column can be used.

    All columns have the same weight; rare values weigh more.

    :param items: table with ITEM_ID; the last row of an id counts.
    :param item_ids: the rows of the matrix.
    """
    place = codes(items.column("ITEM_ID"), item_ids)
    last = np.full(len(item_ids), -1, dtype=np.int64)
    last[place] = np.arange(items.num_rows)
    rows = items.take(pa.array(last, pa.int64(), mask=last < 0))
    blocks = [normalize(block) for block in column_blocks(rows, text) if block.shape[1]]
    return sparse.hstack(blocks, format="csr") if blocks else None


def column_blocks(rows: pa.Table, text: ItemText) -> Iterator[Any]:
    """Yield one sparse matrix per column."""
    for name in rows.column_names:
        column = rows.column(name).combine_chunks()
        if name in NOT_METADATA or column.null_count == len(column):
            continue
        if name in {text.textual, text.name}:
            yield text_block(column.to_pylist())
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            yield category_block(column)
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            yield number_block(column)


def category_block(column: pa.Array) -> Any:
    """Return a column per category; a cell may hold several, separated by `|`."""
    values = pc.split_pattern(pc.cast(column, pa.string()), "|")
    row = pc.list_parent_indices(values).to_numpy()
    return indicator_block(row, pc.list_flatten(values), len(column))


def number_block(column: pa.Array) -> Any:
    """Return a column per decile."""
    numbers = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    row = np.flatnonzero(np.isfinite(numbers))
    if len(row) == 0:
        return sparse.csr_matrix((len(column), 0), dtype=np.float32)
    edges = np.unique(np.quantile(numbers[row], np.arange(1, NUMBER_BINS) / NUMBER_BINS))
    return indicator_block(row, pa.array(np.searchsorted(edges, numbers[row])), len(column))


def indicator_block(row: IntArray, values: pa.Array, num_rows: int) -> Any:
    """Mark which row has which value, rare values weighing more."""
    coded = values.dictionary_encode()
    column = coded.indices.to_numpy()
    matrix = sparse.csr_matrix(
        (np.ones(len(row)), (row, column)), shape=(num_rows, len(coded.dictionary)), dtype=np.float32
    )
    rarity = np.log(1 + num_rows / np.maximum(1, np.asarray(matrix.sum(axis=0)).ravel()))
    return matrix @ sparse.diags(rarity.astype(np.float32))


def text_block(texts: Sequence[str | None]) -> Any:
    """Weigh words by TF-IDF, without HTML tags."""
    cleaned = [_TAG.sub(" ", text or "") for text in texts]
    try:
        words = TfidfVectorizer(sublinear_tf=True, max_features=MAX_WORDS, dtype=np.float32)
        return words.fit_transform(cleaned)
    except ValueError:  # not one word in all the texts
        return sparse.csr_matrix((len(texts), 0), dtype=np.float32)


def compress(matrix: Any, dimensions: int) -> Float32Array:
    """Reduce a sparse matrix to dense rows of length 1, or 0 where the matrix has nothing."""
    vectors, scale = directions(matrix, dimensions)
    # Rows of (matrix @ V) equal U S, so their products approximate those of the matrix rows.
    return unit(np.asarray(matrix @ vectors.T, dtype=np.float32)) if len(scale) else vectors.T[:, :0]


def directions(matrix: Any, dimensions: int) -> tuple[Float32Array, Float32Array]:
    """Find the strongest right singular vectors, shape (dimensions or fewer, columns), and their values."""
    wanted = max(1, min(dimensions, min(matrix.shape) - 1))
    with THREADPOOLS.limit(limits=1, user_api="blas"):  # a threaded BLAS sums in varying order
        _, scale, vectors = randomized_svd(matrix, wanted, n_iter=4, random_state=SEED)
    kept = scale > 1e-6 * max(float(scale[0]), 1e-12)
    return vectors[kept].astype(np.float32), scale[kept].astype(np.float32)


def unit(vectors: Float32Array) -> Float32Array:
    """Scale rows to length 1; rows of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), dtype=np.float32)
