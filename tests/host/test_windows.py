"""Windows inside the stages: laws, conditioning in windows, out of memory, memory, seams."""

import pytest
import torch

TILING = {"tile_size": 32, "overlap": 16}


def picture(height, width, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, height, width, 3, generator=generator)


def close(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="session")
def parts(enlarge):
    """A graph on 64x96 LR px, in windows of 32, 2 steps."""
    return enlarge(picture(64, 96), steps=2, seed=6, **TILING)


@pytest.fixture(scope="session")
def sample(host, demo, parts):
    """Sample the parts again with changes to InvSRPartialSampler's inputs; gives the latents."""

    def run(**changes):
        call = {
            "model": demo.model,
            "positive": demo.positive,
            "start_noise": parts.noise,
            "sigmas": parts.sigmas,
            "latent": parts.latent,
            "cfg": 1.0,
            **TILING,
        }
        return host.call("InvSRPartialSampler", **{**call, **changes})[0]["samples"]

    return run


def test_a_window_that_covers_everything_is_bit_identical_to_none(enlarge, sample):
    image = picture(48, 64)
    whole = enlarge(image, steps=2, tile_size=0).hr
    assert torch.equal(enlarge(image, steps=2, tile_size=64).hr, whole)
    assert torch.equal(enlarge(image, steps=2, tile_size=128).hr, whole)


def test_windows_change_the_picture_so_that_these_tests_mean_something(sample):
    assert close(sample(), sample(tile_size=0)) > 1e-3


@pytest.mark.parametrize("tile_batch", [2, 3, 15])
def test_the_window_batch_changes_nothing(enlarge, sample, parts, tile_batch):
    assert close(sample(tile_batch=tile_batch), parts.sampled["samples"]) < 1e-5
    together = enlarge(picture(64, 96), steps=2, seed=6, **TILING, tile_batch=tile_batch)
    assert close(together.hr, parts.hr) < 1e-5


def test_the_order_of_windows_changes_nothing(sample, parts, monkeypatch, pack):
    grid = pack("invsr_core.tiling").TileGrid
    forward = grid.windows.func
    monkeypatch.setattr(grid, "windows", property(lambda self: forward(self)[::-1]))
    weight = grid.weight
    monkeypatch.setattr(grid, "weight", lambda self, i: weight(self, len(self) - 1 - i))
    assert close(sample(), parts.sampled["samples"]) < 1e-5


def test_two_runs_are_equal_bit_for_bit(sample):
    assert torch.equal(sample(tile_batch=2), sample(tile_batch=2))


def test_a_batch_in_windows_equals_its_images_alone(enlarge):
    batch = picture(48, 64, batch=2, seed=3)
    together = enlarge(batch, **TILING, tile_batch=3)
    for k in range(2):
        alone = enlarge(batch[k : k + 1], **TILING, tile_batch=3, batch_index=[k])
        assert (together.hr[k] - alone.hr[0]).abs().max() < 1e-5


def test_the_tiled_model_does_the_same_under_a_stock_sampler(host, demo, parts, stock_sampler):
    (model,) = host.call("InvSRTiledModel", model=demo.model, **TILING, tile_batch=2)
    assert close(stock_sampler(model, parts), parts.sampled["samples"]) < 1e-5


def test_guidance_and_lora_work_in_windows(demo, sample):
    negative = [[-demo.positive[0][0], {}]]
    assert close(sample(cfg=2.0, negative=negative), sample()) > 1e-4

    model = demo.model.clone()
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_q.weight"
    weight = model.model.state_dict()[key]
    model.add_patches({key: (torch.randn_like(weight),)}, 1.0)
    assert close(sample(model=model), sample()) > 1e-4


def test_a_masked_condition_reaches_only_its_part(demo, sample, parts):
    other = 3 * torch.ones_like(demo.positive[0][0])
    mask = torch.zeros(1, 32, 48)
    mask[..., 24:] = 1
    regional = [
        [demo.positive[0][0], {"mask": 1 - mask, "mask_strength": 1.0}],
        [other, {"mask": mask, "mask_strength": 1.0}],
    ]
    assert torch.equal(sample(positive=regional), sample(positive=regional))
    left, right = sample(positive=regional), sample(positive=[[other, {}]])
    plain = parts.sampled["samples"]
    assert close(left[..., :8], plain[..., :8]) < 1e-4, "far left: as without the other one"
    assert close(left[..., -8:], right[..., -8:]) < 1e-4, "far right: as with the other one alone"


def test_an_area_keeps_the_hosts_feather(demo, pack):
    """The mask an area becomes equals the weight the host itself gives it."""
    import comfy.samplers

    x = torch.zeros(1, 4, 32, 48)
    for area in [(16, 24, 8, 12), (32, 20, 0, 28), (6, 10, 0, 0), (40, 60, 4, 4)]:
        cond = {"area": area, "strength": 1.0, "model_conds": {}, "uuid": None}
        ((ours,),) = pack("nodes.host.window_conds").areas_as_masks([[dict(cond)]], x)
        expected = torch.zeros_like(x)
        found = comfy.samplers.get_area_and_mult(dict(cond), x, torch.tensor([1.0]))
        height, width, top, left = found.area
        expected[:, :, top : top + height, left : left + width] = found.mult
        assert torch.allclose(ours["mask"], expected[:, 0], rtol=0, atol=1e-6), area


def test_an_area_condition_works_in_windows(demo, sample):
    other = 3 * torch.ones_like(demo.positive[0][0])
    area = [[demo.positive[0][0], {}], [other, {"area": (32, 16, 0, 32), "strength": 1.0}]]
    assert close(sample(positive=area)[..., 40:], sample()[..., 40:]) > 1e-4
    assert close(sample(positive=area)[..., :8], sample()[..., :8]) < 1e-4


def test_a_noise_mask_keeps_the_rest_in_windows(sample, parts):
    mask = torch.zeros(1, 1, 32, 48)
    mask[..., 24:] = 1
    samples = sample(latent={**parts.latent, "noise_mask": mask})
    kept = samples[..., :24] - parts.latent["samples"][..., :24]
    assert kept.abs().max() < 1e-5
    assert not torch.equal(samples[..., 24:], parts.latent["samples"][..., 24:])


class Recorder(torch.nn.Module):
    """Stands in for a ControlNet's network: remembers its hints, adds nothing."""

    dtype = torch.float32

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.hints = []

    def forward(self, x, hint, **kwargs):
        self.hints.append((tuple(x.shape), hint.clone()))
        return {}


def test_every_window_sees_its_part_of_a_controlnet_hint(demo, sample, parts, pack):
    import comfy.controlnet

    recorder = Recorder()
    control = comfy.controlnet.ControlNet(
        recorder, load_device=torch.device("cpu"), preprocess_image=lambda hint: hint * 2 - 1
    )
    hint = picture(256, 384, seed=4).movedim(-1, 1)
    control.set_cond_hint(hint, 1.0, (0.0, 1.0))
    controlled = [[demo.positive[0][0], {"control": control, "control_apply_to_uncond": False}]]
    sample(positive=controlled, tile_batch=4)
    tiling = pack("invsr_core.tiling").Tiling(32, 16, 1)
    grid = tiling.grid((64, 96)).scaled(1, 2)
    assert len(recorder.hints) == 2 * len(grid), "each window of each of two steps, one by one"
    for (shape, seen), window in zip(recorder.hints, 2 * list(grid.windows), strict=True):
        assert shape == (1, 4, *grid.window_size)
        top, left = 8 * window.top, 8 * window.left
        cut = hint[..., top : top + 8 * window.height, left : left + 8 * window.width]
        assert torch.equal(seen, cut * 2 - 1)


def fail_once(monkeypatch, owner, name, at):
    """Make the `at`-th call of a method raise the host's out-of-memory error; count the calls."""
    import comfy.model_management

    original, calls = getattr(owner, name), []

    def call(*args, **kwargs):
        calls.append(args)
        if len(calls) == at:
            raise comfy.model_management.OOM_EXCEPTION("injected")
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    return calls


STAGES = {
    "encoder": (lambda demo: demo.vae.first_stage_model, "encode", 1),
    "predictor": (lambda demo: demo.predictor.patcher.model, "forward", 2),
    "sampler": (lambda demo: demo.model.model, "apply_model", 2),
    "sampler, second step": (lambda demo: demo.model.model, "apply_model", 5),
    "decoder": (lambda demo: demo.vae.first_stage_model, "decode", 1),
}


@pytest.mark.parametrize("tile_batch", [1, 2])
@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_out_of_memory_halves_the_windows_and_goes_on(
    demo, enlarge, monkeypatch, caplog, stage, tile_batch
):
    owner, method, at = stage
    fail_once(monkeypatch, owner(demo), method, at // tile_batch + at % tile_batch)
    for fallback in ("encode_tiled_", "decode_tiled_", "encode_tiled", "decode_tiled"):
        monkeypatch.setattr(demo.vae, fallback, lambda *_, **__: pytest.fail("three passes"))
    with caplog.at_level("WARNING"):
        result = enlarge(picture(80, 96), steps=2, tile_size=64, overlap=16, tile_batch=tile_batch)
    assert result.hr.shape == (1, 320, 384, 3)
    assert torch.isfinite(result.hr).all()
    assert caplog.text.count("out of memory; going on with windows of") == 1


def test_without_any_smaller_window_the_error_is_the_hosts(demo, enlarge, monkeypatch):
    import comfy.model_management

    def fail(*args, **kwargs):
        raise comfy.model_management.OOM_EXCEPTION("injected")

    monkeypatch.setattr(demo.predictor.patcher.model, "forward", fail)
    with pytest.raises(comfy.model_management.OOM_EXCEPTION):
        enlarge(picture(48, 64))


def test_cancel_stops_within_one_window(demo, enlarge, monkeypatch):
    import comfy.model_management as manager

    calls = []
    original = demo.model.model.apply_model

    def cancel_at_the_second(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            manager.interrupt_current_processing(True)
        return original(*args, **kwargs)

    monkeypatch.setattr(demo.model.model, "apply_model", cancel_at_the_second)
    with pytest.raises(manager.InterruptProcessingException):
        enlarge(picture(64, 96), **TILING)
    assert len(calls) == 2


def test_one_bar_counts_every_window(host, demo, pack, monkeypatch):
    import comfy.utils

    seen = []
    monkeypatch.setattr(
        comfy.utils,
        "PROGRESS_BAR_HOOK",
        lambda value, total, preview, node_id=None: seen.append((value, total)),
    )
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_PERCENT", 0)
    upscaler = pack("nodes.upscaler")
    run = upscaler.Upscaler(
        model=demo.model,
        vae=demo.vae,
        conds={"positive": demo.positive},
        noise_predictor=demo.predictor,
        sigmas=pack("invsr_core.schedule").sigmas_for((200, 100)),
        seed=0,
        cfg=1.0,
        variation=1.0,
        tiling=pack("invsr_core.tiling").Tiling(64, 16, 1),
        same_noise=False,
        color_correction="wavelet",
        prescale=1.0,
    )
    with torch.inference_mode():
        run(picture(100, 128).movedim(-1, 1), (400, 512), None)
    # 1 encoder window, 3 x 3 for the predictor and for each of two steps, 1 decoder window.
    assert {total for _, total in seen} == {1 + 9 + 2 * 9 + 1}
    assert [value for value, _ in seen] == sorted(value for value, _ in seen)
    assert seen[-1] == (29, 29)
