"""InvSR (arXiv 2412.09013) in plain torch: what the method adds to a pretrained SD-Turbo."""

from .posterior import Posterior
from .predictor import NoisePredictor, PredictorConfig
from .schedule import published_timesteps, sigmas_for
from .weights import load_predictor, save_predictor

__all__ = [
    "NoisePredictor",
    "Posterior",
    "PredictorConfig",
    "load_predictor",
    "published_timesteps",
    "save_predictor",
    "sigmas_for",
]
