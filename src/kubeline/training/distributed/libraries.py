"""What each library wants so that an estimator of it is fitted elsewhere: native parameters, and the model put in."""

from collections.abc import Mapping
from typing import Any

from sklearn.base import clone, is_classifier

from kubeline.typing import Array


class XGBoost:
    """XGBClassifier and XGBRegressor."""

    name = "xgboost"

    def rounds(self, model: Any) -> int:
        """Of boosting, that an estimator asks for."""
        return int(model.get_num_boosting_rounds())

    def params(self, model: Any, some: Array, labels: Array) -> Mapping[str, Any]:
        """The native parameters, as the estimator itself makes them when it is fitted.

        Args:
            model: the estimator.
            some: float32, shape (a few rows, columns), that the parameters are tried on: the library refuses them here,
                in its own words, and not in every worker.
            labels: of these; each class is among them.
        """
        clone(model).set_params(n_estimators=1, n_jobs=1).fit(some, labels)
        given = model.get_xgb_params()
        params = {
            name: value for name, value in given.items() if value is not None and name not in ("missing", "n_jobs")
        }
        if is_classifier(model) and (classes := int(labels.max()) + 1) > 2:
            params |= {"objective": "multi:softprob", "num_class": classes}
        return params

    def put(self, model: Any, learned: bytes) -> None:
        """Let an estimator be as if it had been fitted itself."""
        model.load_model(bytearray(learned))


class LightGBM:
    """LGBMClassifier and LGBMRegressor."""

    name = "lightgbm"

    def rounds(self, model: Any) -> int:
        """As of :class:`XGBoost`."""
        return int(model.n_estimators)

    def params(self, model: Any, some: Array, labels: Array) -> Mapping[str, Any]:
        """As of :class:`XGBoost`; afterwards the estimator is fitted, so that it knows its classes and columns."""
        rounds = model.n_estimators
        model.set_params(n_estimators=1).fit(some, labels)
        model.set_params(n_estimators=rounds)
        others = ("num_iterations", "num_threads", "metric")
        return {name: value for name, value in model.booster_.params.items() if name not in others}

    def put(self, model: Any, learned: bytes) -> None:
        """As of :class:`XGBoost`."""
        import lightgbm

        model._Booster = lightgbm.Booster(model_str=learned.decode())


LIBRARIES: Mapping[str, XGBoost | LightGBM] = {library.name: library for library in (XGBoost(), LightGBM())}
