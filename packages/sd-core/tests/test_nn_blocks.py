"""The building blocks against their definitions."""

from __future__ import annotations

import math

import torch
from torch import nn

from sd_core.nn.attention import SelfAttention, attend
from sd_core.nn.embeddings import TimeEmbedding
from sd_core.nn.feedforward import SwiGLU, swiglu_width
from sd_core.nn.norms import modulate, rms_norm
from sd_core.nn.roles import parameter_roles
from sd_core.nn.rope import AxialRope, axial_tables, index_frequencies, rotate


def test_rms_norm_is_its_definition() -> None:
    x, gain = torch.randn(2, 3, 8), torch.randn(8)
    torch.testing.assert_close(rms_norm(x, gain), x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * gain)
    half = rms_norm(x.bfloat16(), gain)
    assert half.dtype == torch.bfloat16


def test_modulation_scales_and_shifts_each_example() -> None:
    x, shift, scale = torch.randn(2, 3, 8), torch.randn(2, 8), torch.randn(2, 8)
    expected = torch.stack([rms_norm(x[i]) * (1 + scale[i]) + shift[i] for i in range(2)])
    torch.testing.assert_close(modulate(x, shift, scale), expected)


def test_attention_is_its_definition() -> None:
    q, k, v = (torch.randn(2, 5, 3, 4, dtype=torch.float32) for _ in range(3))
    weights = torch.softmax(torch.einsum("bnhd,bmhd->bhnm", q, k) / math.sqrt(4), dim=-1)
    torch.testing.assert_close(attend(q, k, v), torch.einsum("bhnm,bmhd->bnhd", weights, v))


def test_attention_on_a_cpu_is_float32_under_autocast_too() -> None:
    """Autocast would take it back to the slow bfloat16 kernel."""
    q, k, v = (torch.randn(2, 64, 3, 16).bfloat16() for _ in range(3))
    exact = attend(q.float(), k.float(), v.float())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = attend(q, k, v)
    assert torch.equal(rounded, exact.bfloat16())


def test_attention_keeps_float64() -> None:
    q, k, v = (torch.randn(2, 5, 3, 4, dtype=torch.float64) for _ in range(3))
    weights = torch.softmax(torch.einsum("bnhd,bmhd->bhnm", q, k) / 2, dim=-1)
    torch.testing.assert_close(attend(q, k, v), torch.einsum("bhnm,bmhd->bnhd", weights, v), rtol=1e-12, atol=1e-12)


def test_attention_does_not_depend_on_the_size_of_queries() -> None:
    """QK-norm: logits stay bounded however large the activations grow."""
    attention = SelfAttention(heads=2, head_dim=8)
    cos, sin = AxialRope(2, 3, 8)()
    x = torch.randn(1, 6, 16)
    with torch.no_grad():
        before = attention(x, cos, sin)
        attention.qkv.weight[: 2 * 16] *= 50
        torch.testing.assert_close(attention(x, cos, sin), before, rtol=1e-4, atol=1e-5)


def test_rotation_turns_pairs_and_keeps_lengths() -> None:
    x = torch.randn(1, 6, 2, 8)
    cos, sin = AxialRope(2, 3, 8)()
    turned = rotate(x, cos, sin)
    pairs = torch.complex(x[..., :4], x[..., 4:])
    angles = torch.atan2(sin[:, 4:], cos[:, 4:])[:, None]
    expected = pairs * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(turned, torch.cat([expected.real, expected.imag], dim=-1))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


def test_products_depend_on_distance_only_and_on_both_axes() -> None:
    cos, sin = AxialRope(5, 7, 16)()
    q, k = (rotate(torch.randn(1, 1, 1, 16).expand(1, 35, 1, 16), cos, sin)[0, :, 0] for _ in range(2))
    logits = (q @ k.T).reshape(5, 7, 5, 7)
    torch.testing.assert_close(logits[0, 0, 2, 3], logits[2, 3, 4, 6])
    assert abs(logits[0, 0, 2, 3] - logits[0, 0, 3, 3]) > 1e-3
    assert abs(logits[0, 0, 2, 3] - logits[0, 0, 2, 4]) > 1e-3


def test_positions_may_be_physical() -> None:
    """Twice the step is the same as every other token."""
    frequencies, one = index_frequencies(2), torch.zeros(1)
    fine, _ = axial_tables(one, torch.arange(8.0), frequencies, 8)
    coarse, _ = axial_tables(one, 2 * torch.arange(4.0), frequencies, 8)
    torch.testing.assert_close(fine[::2], coarse)


def test_channels_left_over_carry_no_position() -> None:
    cos, sin = axial_tables(torch.arange(3.0), torch.arange(4.0), index_frequencies(2), 16)
    x = torch.randn(1, 12, 1, 16)
    turned = rotate(x, cos, sin)
    assert torch.equal(turned[..., 4:8], x[..., 4:8])
    assert not torch.allclose(turned[..., :4], x[..., :4])


def test_tokens_before_the_grid_do_not_turn() -> None:
    rope = AxialRope(2, 3, 8)
    cos, sin = rope(prefix=4)
    assert cos.shape == sin.shape == (10, 8)
    x = torch.randn(1, 10, 1, 8)
    turned = rotate(x, cos, sin)
    assert torch.equal(turned[:, :4], x[:, :4])
    torch.testing.assert_close(turned[:, 4:], rotate(x[:, 4:], *rope()))


def test_swiglu_has_the_weights_of_a_plain_mlp() -> None:
    """Within its rounding to multiples of 64."""
    for width in (256, 1152):
        weights = sum(p.numel() for p in SwiGLU(width, swiglu_width(width, 4.0)).parameters())
        assert abs(weights / (8 * width**2) - 1) < 0.08
    assert swiglu_width(1152, 4.0) == 3072


def test_near_times_are_told_apart_under_autocast() -> None:
    embedding = TimeEmbedding(32)
    t = torch.tensor([0.500, 0.501])
    exact = embedding(t)
    with torch.autocast("cpu", torch.bfloat16):
        autocast = embedding(t)
    assert autocast.dtype == torch.float32
    assert torch.equal(autocast, exact)
    assert (exact[0] - exact[1]).norm() / exact[0].norm() > 0.05


def test_roles() -> None:
    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into = nn.Linear(3, 4)
            self.hidden = nn.Linear(4, 4)
            self.table = nn.Parameter(torch.zeros(5, 4))

    tiny = Tiny()
    assert parameter_roles(tiny, matrices=[tiny.hidden], tables=[tiny.table]) == {
        "table": "vector",
        "into.weight": "embedding",
        "into.bias": "vector",
        "hidden.weight": "matrix",
        "hidden.bias": "vector",
    }
