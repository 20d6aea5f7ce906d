"""Started by test_processes: make one update of CONFIG and write this process's gradients."""

import sys
from pathlib import Path

import torch

from invsr_core.training.config import load_config
from invsr_core.training.loading import load_base
from invsr_core.training.loop import Trainer, make_accelerator


def main(config_path: str, output: str) -> None:
    config = load_config(config_path)
    accelerator = make_accelerator(config)
    trainer = Trainer(config, load_base(config.base), accelerator)
    updater, gradients = trainer.updater, {}
    apply = updater._apply

    def recording(optimizer, network, lr):
        for name, parameter in network.named_parameters():
            gradients[f"{type(network).__name__}.{name}"] = parameter.grad.clone()
        return apply(optimizer, network, lr)

    updater._apply = recording
    updater.update(trainer._crops())
    trainer.save()
    state = {"gradients": gradients, "weights": updater.predictor.state_dict()}
    torch.save(state, Path(output) / f"{accelerator.process_index}.pt")
    accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
