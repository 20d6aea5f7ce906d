"""`python -m invsr_core.training train | evaluate | degrade`: training from the command line.

Under `accelerate launch -m invsr_core.training train CONFIG.toml` it runs on several processes.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger("invsr_core.training")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit status: 0, or 1 after an error said in one line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        log.error("Error: %s", error)
        return 1
    except ImportError as error:
        log.error("Error: %s. Install the pack's extra 'train'.", error)
        return 1
    except KeyboardInterrupt:
        log.error("Interrupted. The same command goes on from the last checkpoint.")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m invsr_core.training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="train | evaluate | degrade")
    _add_train(commands.add_parser("train", help="train or fine-tune a predictor, or resume"))
    _add_evaluate(commands.add_parser("evaluate", help="restore a folder and measure it"))
    _add_degrade(commands.add_parser("degrade", help="make LR images from HR ones"))
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="TOML file; see invsr_core/training/configs")
    parser.set_defaults(run=_train)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="TOML file whose [base] the predictor was trained with")
    parser.add_argument("--predictor", required=True, help=".safetensors or .pth")
    parser.add_argument("--lr", required=True, help="folder of LR images")
    parser.add_argument("--hr", default="", help="folder of HR images of the same names")
    parser.add_argument("--output", required=True, help="folder for table, CSV and pictures")
    parser.add_argument("--timesteps", nargs="*", default=[], help="such as 200 or 200,100,50")
    parser.add_argument("--count", type=int, default=0, help="first so many images; 0 takes all")
    parser.add_argument("--seed", type=int, default=12345)
    parser.add_argument("--pad-to", type=int, default=128, help="smallest LR side of the networks")
    parser.add_argument("--device", default="", help="such as cuda or cpu; empty takes the best")
    parser.set_defaults(run=_evaluate)


def _add_degrade(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("hr", help="folder of HR images")
    parser.add_argument("output", help="folder for lr/ and hr/")
    parser.add_argument("--setting", default="imagenet-test", help="imagenet-test or training")
    parser.add_argument("--size", type=int, default=512, help="side of the HR crops")
    parser.add_argument("--count", type=int, default=0, help="first so many images; 0 takes all")
    parser.add_argument("--seed", type=int, default=10000)
    parser.add_argument("--grid", action="store_true", help="also write grid.png for a look")
    parser.set_defaults(run=_degrade)


def _train(options: argparse.Namespace) -> None:
    from .config import load_config
    from .loading import load_base
    from .loop import Trainer, make_accelerator

    config = load_config(options.config)
    accelerator = make_accelerator(config)
    if not accelerator.is_main_process:
        logging.getLogger().setLevel(logging.ERROR)
    Trainer(config, load_base(config.base), accelerator).run()


def _evaluate(options: argparse.Namespace) -> None:
    from .config import load_config
    from .evaluate import Request, evaluate
    from .tables import parse_presets

    table = evaluate(
        load_config(options.config).base,
        Request(
            predictor=Path(options.predictor),
            lr_folder=Path(options.lr),
            hr_folder=Path(options.hr) if options.hr else None,
            output=Path(options.output),
            presets=parse_presets(options.timesteps),
            count=options.count,
            seed=options.seed,
            pad_to=options.pad_to,
            device=options.device,
        ),
    )
    sys.stdout.write(table + "\n")


def _degrade(options: argparse.Namespace) -> None:
    from .synthesis import synthesise

    synthesise(
        Path(options.hr),
        Path(options.output),
        setting=options.setting,
        size=options.size,
        count=options.count,
        seed=options.seed,
        grid=options.grid,
    )


if __name__ == "__main__":
    sys.exit(main())
