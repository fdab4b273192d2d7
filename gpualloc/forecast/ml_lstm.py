"""A small recurrent network for the quantiles of the change to come; needs the extra `ml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpualloc.errors import ConfigError
from gpualloc.forecast.grid import Matrix
from gpualloc.forecast.ml_lightgbm import FEWEST_ROWS, INSTALL, lags
from gpualloc.forecast.models import Bands, ordered, spans
from gpualloc.forecast.past import Past
from gpualloc.forecast.recent import units
from gpualloc.forecast.single import Single
from gpualloc.model.forecast import QUANTILES

HIDDEN = 32
LAGS = 72
"""Ticks that the network looks back."""
MAX_ROWS = 20_000
_EPOCHS, _BATCH, _RATE = 6, 256, 2e-3
_PART = 20_000
"""Windows that are looked at together when it tells bands."""


class Network:
    """One network for all series, by horizon; it is trained at the first cut and again at every other one."""

    name = "lstm"

    def __init__(self) -> None:
        try:
            import torch
        except ImportError as error:
            raise ConfigError("the forecaster 'lstm' needs the package torch", hint=INSTALL) from error
        torch.set_num_threads(1)  # more of them only wait for each other over so small a network
        self._torch: Any = torch

    def bands(self, past: Past, horizon: int, cuts: Sequence[int]) -> Bands:
        """As `models.Model.bands`."""
        seen = past.seen
        scale = units(seen.scale)
        change = (past.became(horizon) - seen.latest) / scale
        out = np.full((*change.shape, len(QUANTILES)), np.nan)
        inputs = _windows(past)
        for cut, here in spans(past, cuts[::2]):
            told = ~np.isnan(change[:, : past.known_by(cut, horizon)])
            if told.sum() < FEWEST_ROWS or here.start == here.stop:
                continue
            rows, targets = inputs[:, : told.shape[1]][told], change[:, : told.shape[1]][told]
            chosen = np.unique(np.linspace(0, len(rows) - 1, MAX_ROWS).astype(np.int64))
            network = self._trained(rows[chosen], targets[chosen])
            found = self._told(network, inputs[:, here].reshape(-1, *inputs.shape[2:]))
            moved = found.reshape(len(change), -1, len(QUANTILES)) * seen.scale[:, here, None]
            out[:, here] = seen.latest[:, here, None] + moved
        return ordered(out, past)

    def _trained(self, rows: Matrix, targets: Matrix) -> tuple[Any, Any]:
        torch = self._torch
        torch.manual_seed(0)
        recurrent = torch.nn.LSTM(rows.shape[-1], HIDDEN, batch_first=True)
        head = torch.nn.Linear(HIDDEN, len(QUANTILES))
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        optimizer = torch.optim.Adam([*recurrent.parameters(), *head.parameters()], lr=_RATE)
        quantiles = torch.tensor(QUANTILES)
        inputs, wanted = torch.tensor(rows, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)
        for _ in range(_EPOCHS):
            for batch in torch.randperm(len(inputs)).split(_BATCH):
                off = wanted[batch, None] - head(recurrent(inputs[batch])[0][:, -1])
                loss = torch.maximum(quantiles * off, (quantiles - 1) * off).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return recurrent, head

    def _told(self, network: tuple[Any, Any], rows: Matrix) -> Matrix:
        torch = self._torch
        recurrent, head = network
        with torch.no_grad():
            found = [
                head(recurrent(torch.tensor(rows[at : at + _PART], dtype=torch.float32))[0][:, -1]).numpy()
                for at in range(0, len(rows), _PART)
            ]
        return np.concatenate(found).astype(np.float64)


def _windows(past: Past) -> Matrix:
    """By series, origin and tick back, the oldest first: the value less the latest one, and the latest one."""
    before = lags(past, range(LAGS - 1, -1, -1))
    scale = units(past.seen.scale)
    level = np.nan_to_num(past.seen.latest / scale)
    return np.stack([before, np.broadcast_to(level[..., None], before.shape)], axis=-1).astype(np.float32)


class Lstm(Single):
    """The forecaster `lstm`.

    Raises:
        ConfigError: torch is not installed; the hint says how it is.
    """

    def __init__(self) -> None:
        super().__init__(Network())
