import torch
from torch import nn

from sd_core.run.muon import CpuMuon, orthogonalise


def test_singular_values_come_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((24, 8), (8, 24), (16, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert float(values.min()) > 0.3
        assert float(values.max()) < 1.3


def test_it_moves_as_torchs_muon_to_bfloat16_precision() -> None:
    torch.manual_seed(0)
    start = [torch.randn(12, 6), torch.randn(6, 12)]
    gradients = [[torch.randn_like(w) for w in start] for _ in range(3)]
    moved = []
    for kind in (torch.optim.Muon, CpuMuon):
        weights = [nn.Parameter(w.clone()) for w in start]
        optimizer = kind(weights, lr=0.1, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
        for step in gradients:
            for weight, gradient in zip(weights, step, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()
        moved.append([(w.detach() - w0).flatten() for w, w0 in zip(weights, start, strict=True)])
    for reference, ours in zip(*moved, strict=True):
        assert float(torch.cosine_similarity(reference, ours, dim=0)) > 0.999
        assert abs(float(ours.norm() / reference.norm()) - 1) < 0.02


def test_its_state_is_torchs() -> None:
    weight = nn.Parameter(torch.randn(4, 4))
    weight.grad = torch.randn(4, 4)
    ours = CpuMuon([weight], lr=0.1)
    ours.step()
    theirs = torch.optim.Muon([weight], lr=0.1)
    theirs.load_state_dict(ours.state_dict())
    theirs.step()
    assert set(theirs.state[weight]) == {"momentum_buffer"}
