"""Train, fine-tune and judge a noise predictor (paper, section 3; Eq. 8 to 11).

Nothing else imports this package. `step` is plain torch over callables; only `loop` needs
accelerate, `base` and `discriminator` diffusers, `metrics` pyiqa (the extra `train`).
"""
