"""Learn and store the weights of aws-user-personalization."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from personalize_local.engine.ensemble import EMBEDDINGS, USER, Calibration, Ensemble, learn_ensemble
from personalize_local.engine.factors import ItemFactors, choose_items, learn_factors
from personalize_local.engine.histories import Histories, ItemSignals, measure_items, summarise
from personalize_local.engine.inputs import HyperparameterError
from personalize_local.engine.interactions import BoolArray, Float32Array, Interactions
from personalize_local.engine.logistic import Logistic
from personalize_local.engine.training_sample import draw_training_sample

ITEMS_FILE = "weights.parquet"
VECTORS_FILE = "item_vectors.npy"
ENSEMBLE_FILE = "blend.json"
# The service's default of hidden_dimension is 149; 64 factors are as good here and train in half the time.
DEFAULT_HIDDEN_DIMENSION = 64
# Default and ranges of the service: facts of native-recipe-new-item-USER_PERSONALIZATION in the developer guide.
DEFAULT_BPTT = 32
RANGES = {"hidden_dimension": (32, 256), "bptt": (2, 32)}


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of the user model.

    :param num_factors: `hidden_dimension`.
    :param half_life: `bptt`, used as the half-life in items of the recent embedding; None if `recency_mask` is False.
    """

    num_factors: int = DEFAULT_HIDDEN_DIMENSION
    half_life: float | None = float(DEFAULT_BPTT)

    @classmethod
    def parse(cls, hyperparameters: Mapping[str, str]) -> "Hyperparameters":
        """Parse the API's strings; ignore unknown names.

        :raises HyperparameterError: for a malformed or out-of-range value.
        """
        mask = hyperparameters.get("recency_mask", "True").strip().lower()
        if mask not in {"true", "false"}:
            raise HyperparameterError(f"recency_mask is {mask!r}, expected True or False.")
        half_life = parse_int(hyperparameters, "bptt", DEFAULT_BPTT)
        num_factors = parse_int(hyperparameters, "hidden_dimension", DEFAULT_HIDDEN_DIMENSION)
        return cls(num_factors, float(half_life) if mask == "true" else None)


def parse_int(hyperparameters: Mapping[str, str], name: str, default: int) -> int:
    """Read a whole number within its range."""
    low, high = RANGES[name]
    text = hyperparameters.get(name, str(default))
    try:
        value = int(text)
    except ValueError as error:
        raise HyperparameterError(f"{name} is {text!r}, expected a whole number.") from error
    if not low <= value <= high:
        raise HyperparameterError(f"{name} is {value}, expected {low} to {high}.")
    return value


@dataclass(frozen=True)
class Weights:
    """Everything learned by a FULL training; arrays are indexed by the positions in `item_ids`.

    :param known: the items of the FULL training; items added by an UPDATE stay unknown until the next FULL training.
    """

    settings: Hyperparameters
    item_ids: pa.Array
    known: BoolArray
    signals: ItemSignals
    factors: ItemFactors
    ensemble: Ensemble

    def align(self, item_ids: pa.Array, new_signals: ItemSignals) -> "Weights":
        """Move to another catalog: known items keep their values, new items take `new_signals`."""
        place = pc.fill_null(pc.index_in(self.item_ids, value_set=item_ids), -1).to_numpy().astype(np.int64)
        there = place >= 0
        known = np.zeros(len(item_ids), dtype=np.bool_)
        known[place[there]] = self.known[there]
        kept = there & self.known
        columns = {name: getattr(new_signals, name).copy() for name in ("users", "recent", "repeat_rate")}
        for name, column in columns.items():
            column[place[kept]] = getattr(self.signals, name)[kept]
        items = place[self.factors.items]
        factors = self.factors.move(items, len(item_ids))
        return Weights(self.settings, item_ids, known, ItemSignals(**columns), factors, self.ensemble)

    def item_side(self) -> tuple[Float32Array, Float32Array]:
        """Compute the item part of the discovery log odds: vectors, shape (items, factors + 1), and offsets.

        The offset of unknown items is minus infinity.
        """
        model, part = self.ensemble.discovery, slice(EMBEDDINGS, USER)
        signals = model.standardise(self.signals.features(np.arange(len(self.item_ids))), part)
        slopes = model.weights[part] + signals @ model.form[part, part]
        offset = np.where(self.known, np.einsum("ij,ij->i", slopes, signals), -np.inf)
        vector = np.column_stack([self.factors.of_items(slice(None)), signals @ model.form[part, USER]])
        return vector.astype(np.float32), offset.astype(np.float32)

    def user_side(
        self, embeddings: list[Float32Array], size: Float32Array
    ) -> tuple[Float32Array, Float32Array]:
        """Compute the user part: log odds are the calibrated product of both vectors plus both offsets.

        :param size: log of the number of the user's rows.
        """
        model, last = self.ensemble.discovery, USER + 1
        size = model.standardise(size[:, None], slice(USER, last))[:, 0]
        offset = model.intercept + size * (model.weights[USER] + size * model.form[USER, USER])
        # The last column, which marks any-time users, is 0 when recommending.
        offset -= model.weights[last] * model.mean[last] / model.deviation[last]
        vector = np.zeros((len(size), embeddings[0].shape[1] + 1), dtype=np.float32)
        vector[:, -1] = size
        for column, embedding in enumerate(embeddings):
            slope = (model.weights[column] + size * model.form[column, USER]) / model.deviation[column]
            vector[:, :-1] += slope.astype(np.float32)[:, None] * embedding
            offset -= slope * model.mean[column]
        return vector, offset.astype(np.float32)

    def write(self, folder: Path) -> None:
        """Write one Parquet, one npy and one JSON file."""
        columns = {
            "item_id": self.item_ids,
            "known": self.known,
            "users": self.signals.users,
            "recent": self.signals.recent,
            "repeat_rate": self.signals.repeat_rate,
            "column": self.factors.column,
        }
        pq.write_table(pa.table(columns), folder / ITEMS_FILE)
        np.save(folder / VECTORS_FILE, self.factors.vectors)
        repeat_model = None if self.ensemble.repeat_model is None else self.ensemble.repeat_model.as_json()
        values = {
            "settings": asdict(self.settings),
            "regularization": self.factors.regularization,
            "again": repeat_model,
            "discovery": self.ensemble.discovery.as_json(),
            "bend": asdict(self.ensemble.calibration),
        }
        (folder / ENSEMBLE_FILE).write_text(json.dumps(values))

    @classmethod
    def read(cls, folder: Path) -> "Weights":
        """Read what :meth:`write` wrote."""
        table = pq.read_table(folder / ITEMS_FILE).combine_chunks()
        column = {name: table.column(name).chunk(0) for name in table.column_names}
        values = json.loads((folder / ENSEMBLE_FILE).read_text())
        rows = column["column"].to_numpy()
        items = np.flatnonzero(rows >= 0)
        items = items[np.argsort(rows[items], kind="stable")]
        signals = ItemSignals(*(column[name].to_numpy() for name in ("users", "recent", "repeat_rate")))
        return cls(
            settings=Hyperparameters(**values["settings"]),
            item_ids=column["item_id"],
            known=column["known"].to_numpy(zero_copy_only=False),
            signals=signals,
            factors=ItemFactors(items, np.load(folder / VECTORS_FILE), rows, values["regularization"]),
            ensemble=Ensemble(
                repeat_model=None if values["again"] is None else Logistic.from_json(values["again"]),
                discovery=Logistic.from_json(values["discovery"]),
                calibration=Calibration(**values["bend"]),
            ),
        )


def learn(interactions: Interactions, settings: Hyperparameters) -> Weights:
    """Learn ensemble and factors from the given rows only.

    :raises TrainingDataError: when no user has two interactions.
    """
    histories = summarise(interactions)
    signals = measure_items(interactions, histories)
    sample = draw_training_sample(interactions, histories, signals)
    factors = learn_factors(
        sample.histories, choose_items(signals.users), interactions.num_items, settings.num_factors
    )
    ensemble = learn_ensemble(sample, factors, settings.half_life)
    known = np.ones(interactions.num_items, dtype=np.bool_)
    weights = Weights(settings, interactions.item_ids, known, signals, factors, ensemble)
    return fit_items(weights, histories, signals)


def relearn(weights: Weights, interactions: Interactions, histories: Histories | None = None) -> Weights:
    """Keep the ensemble; measure items and learn factors on the given rows.

    :param histories: of the rows, if already summarised.
    """
    histories = summarise(interactions) if histories is None else histories
    return fit_items(weights, histories, measure_items(interactions, histories))


def fit_items(weights: Weights, histories: Histories, signals: ItemSignals) -> Weights:
    """Measure items and refit factors, starting from those of nearly the same rows."""
    items = choose_items(signals.users)
    num_factors = weights.settings.num_factors
    factors = learn_factors(histories, items, len(signals.users), num_factors, weights.factors)
    return replace(weights, signals=signals, factors=factors)
