"""The trainings of the demo models: same networks as the host's, and a kill changes nothing."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parent.parent.parent
sys.path.append(str(ROOT / "scripts"))

from demo_training.autoencoder import Autoencoder, UpConv  # noqa: E402 - no package
from demo_training.muon import make_optimizers, orthogonalised  # noqa: E402
from demo_training.pictures import draw_picture  # noqa: E402
from demo_training.run import Run  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


def test_the_convolution_that_doubles_equals_repeating_pixels_first():
    layer = UpConv(64, 64, 3, padding=1, bias=False)
    x = torch.randn(2, 64, 5, 7)
    expected = F.conv2d(F.interpolate(x, scale_factor=2), layer.weight, padding=1)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-5)


def test_the_autoencoder_is_the_hosts(host):
    from comfy.taesd.taesd import TAESD

    ours, theirs = Autoencoder(), TAESD()
    ours.wake("taesd_encoder", "taesd_decoder")
    state = {**ours.state_dict(), "vae_scale": torch.tensor(0.5), "vae_shift": torch.tensor(0.0)}
    theirs.load_state_dict(state)
    images = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        latents = theirs.encode(images * 2 - 1) * 0.5
        torch.testing.assert_close(ours.encode(images), latents)
        decoded = theirs.decode(latents / 0.5) / 2 + 0.5
        torch.testing.assert_close(ours.decode(latents), decoded)


def test_a_sleeping_block_is_a_block_whose_branch_is_zero():
    network = Autoencoder()
    for index in (13, 14, 18):
        torch.nn.init.zeros_(network.taesd_decoder[index].conv[4].weight)
        torch.nn.init.zeros_(network.taesd_decoder[index].conv[4].bias)
    latents = torch.randn(1, 4, 4, 4)
    network.wake()
    asleep = network.decode(latents)
    network.wake("taesd_decoder")
    torch.testing.assert_close(network.decode(latents), asleep, rtol=0, atol=0)


def test_the_unet_gives_the_same_noise_in_the_host(host, tmp_path, pack):
    diffusers_stage = pytest.importorskip("demo_training.unet_stage")
    from demo_training.pack import host_names

    denoiser = diffusers_stage.Denoiser()
    state = host_names(denoiser.unet.state_dict(), Path(sys.modules["comfy"].__path__[0]).parent)
    model = pack("nodes.host.small_models").small_model(state).model.diffusion_model.float()
    x, timesteps = torch.randn(2, 4, 16, 24), torch.tensor([99, 199])
    context = denoiser.context.expand(2, -1, -1)
    with torch.no_grad():
        expected = denoiser.unet(x, timesteps, encoder_hidden_states=context).sample
        torch.testing.assert_close(model(x, timesteps, context), expected, rtol=0, atol=1e-5)


def test_orthogonalised_matrices_have_singular_values_near_one():
    for shape in ((2, 64, 576), (2, 128, 64)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
        assert values.min() > 0.5
        assert values.max() < 1.5


def test_a_killed_run_ends_where_an_unbroken_one_does(tmp_path):
    whole, broken = (train(tmp_path / name, 6) for name in ("whole.pt", "other.pt"))
    assert torch.equal(whole, broken)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken.pt", 6, killed_at=4)
    assert torch.equal(train(tmp_path / "broken.pt", 6), whole)


def train(file, updates, killed_at=None):
    network = torch.nn.Linear(64, 64)
    torch.nn.init.eye_(network.weight)
    torch.nn.init.zeros_(network.bias)
    run = Run(file, network, make_optimizers(network, lr=0.01, adam_lr=0.01), updates)

    def loss_of(number):
        if number == killed_at:
            run.save()
            raise KeyboardInterrupt
        x = torch.randn(8, 64, generator=torch.Generator().manual_seed(number))
        return F.mse_loss(network(x), x.flip(1))

    run.train(loss_of, lambda: "")
    return network.weight.detach().clone()


def test_a_picture_depends_on_its_number_alone():
    first = draw_picture(5, 128)
    draw_picture(6, 128)
    assert first.tobytes() == draw_picture(5, 128).tobytes()
    assert first.tobytes() != draw_picture(6, 128).tobytes()
