"""Triton kernels of the selective scan: a program holds one channel's states for one chunk, (T, N), at a time.

Within a chunk the recurrence is an associative scan over positions; from chunk to chunk a state is carried on.
Gradients take two kernels: one carries the adjoint state backwards and saves it at the end of each chunk, after
which all chunks are independent of each other, and the other adds up dB and dC over the channels of a block in
their order. No atomics, so the result is the same each time.

Legend: Z batch, K directions, L positions, C channels, N states (PADDED to a power of two), S chunks of T positions.
Tensors are contiguous: u, delta, y, dy (Z, K, L, C); B, C (Z, K, L, N); A (K, C, N); D, bias (K, C);
states, adjoints (Z, K, S, N, C).
"""

# Names of sizes and matrices are the paper's; kernels take a pointer for each tensor.
# mypy: ignore-errors
# ruff: noqa: PLR0917, ANN001, ANN201, ANN202

import triton
import triton.language as tl


@triton.jit
def _compose(decay, drive, next_decay, next_drive):
    """Of two steps h -> decay h + drive, first the one on the left."""
    return decay * next_decay, next_decay * drive + next_drive


@triton.jit
def _softplus(x):
    """As PyTorch's: linear above 20. log(1 + z) without cancellation where z is small (Kahan)."""
    z = tl.exp(-tl.abs(x))
    w = 1 + z
    log = tl.where(w == 1, z, tl.log(w) * (z / tl.where(w == 1, 1, w - 1)))
    return tl.where(x > 20, x, tl.maximum(x, 0) + log)


@triton.jit
def _softplus_slope(x):
    z = tl.exp(-tl.abs(x))
    return tl.where(x > 20, 1, tl.where(x > 0, 1, z) / (1 + z))


@triton.jit
def _load_steps(delta, bias, sequence, t, c, L, C):
    """Step sizes at positions t; 0 outside of the sequence, where the decay is then 1."""
    inside = (t >= 0) & (t < L)
    raw = tl.load(delta + (sequence * L + t) * C + c, mask=inside, other=0) + bias
    return tl.where(inside, _softplus(raw), 0)


@triton.jit
def _load_states(matrix, sequence, t, n, L, N):
    """Rows t of B or C, (T, PADDED), 0 outside."""
    inside = (t >= 0) & (t < L)
    return tl.load(
        matrix + (sequence * L + t[:, None]) * N + n[None, :], mask=inside[:, None] & (n[None, :] < N), other=0
    )


@triton.jit
def forward_kernel(u, delta, A, B, C_, D, bias, y, states, K, L, C, N, S, T: tl.constexpr, PADDED: tl.constexpr):
    """Grid (Z * K * C,)."""
    program = tl.program_id(0).to(tl.int64)
    sequence, c = program // C, program % C
    channel = sequence % K * C + c
    rows, n = tl.arange(0, T), tl.arange(0, PADDED)
    decay_rate = tl.load(A + channel * N + n, mask=n < N, other=0)
    skip, shift = tl.load(D + channel), tl.load(bias + channel)
    state = tl.zeros_like(decay_rate)
    for s in range(S):
        t = s * T + rows
        tl.store(states + ((sequence * S + s) * N + n) * C + c, state, mask=n < N)
        step = _load_steps(delta, shift, sequence, t, c, L, C)
        token = tl.load(u + (sequence * L + t) * C + c, mask=t < L, other=0)
        decay = tl.exp(step[:, None] * decay_rate[None, :])
        drive = (step * token)[:, None] * _load_states(B, sequence, t, n, L, N)
        total, local = tl.associative_scan((decay, drive), 0, _compose)
        h = local + total * state[None, :]
        out = tl.sum(h * _load_states(C_, sequence, t, n, L, N), 1) + skip * token
        tl.store(y + (sequence * L + t) * C + c, out, mask=t < L)
        state = tl.sum(tl.where(rows[:, None] == T - 1, h, 0), 0)


@triton.jit
def _adjoint(dy, delta, shift, C_, decay_rate, carry, sequence, t, n, c, L, C, N, T: tl.constexpr):
    """Gradients g (T, PADDED) of the states after positions t; `carry` is what later chunks add to the last."""
    last = tl.arange(0, T) == T - 1
    next_step = tl.where(last, 0, _load_steps(delta, shift, sequence, t + 1, c, L, C))
    next_decay = tl.exp(next_step[:, None] * decay_rate[None, :])
    outer = tl.load(dy + (sequence * L + t) * C + c, mask=t < L, other=0)
    source = outer[:, None] * _load_states(C_, sequence, t, n, L, N)
    source += tl.where(last[:, None], carry[None, :], 0)
    _, g = tl.associative_scan((next_decay, source), 0, _compose, reverse=True)
    return g


@triton.jit
def adjoint_kernel(dy, delta, A, C_, bias, adjoints, K, L, C, N, S, T: tl.constexpr, PADDED: tl.constexpr):
    """Saves for each chunk what the later ones add to the gradient of its last state. Grid (Z * K * C,)."""
    program = tl.program_id(0).to(tl.int64)
    sequence, c = program // C, program % C
    channel = sequence % K * C + c
    rows, n = tl.arange(0, T), tl.arange(0, PADDED)
    decay_rate = tl.load(A + channel * N + n, mask=n < N, other=0)
    shift = tl.load(bias + channel)
    carry = tl.zeros_like(decay_rate)
    for back in range(S):
        s = S - 1 - back
        t = s * T + rows
        tl.store(adjoints + ((sequence * S + s) * N + n) * C + c, carry, mask=n < N)
        g = _adjoint(dy, delta, shift, C_, decay_rate, carry, sequence, t, n, c, L, C, N, T)
        step = _load_steps(delta, shift, sequence, t, c, L, C)
        through = g * tl.exp(step[:, None] * decay_rate[None, :])
        carry = tl.sum(tl.where(rows[:, None] == 0, through, 0), 0)


@triton.jit
def gradient_kernel(
    dy, u, delta, A, B, C_, D, bias, states, adjoints, du, ddelta, dA, dB, dC,
    K, L, C, N, S, T: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One chunk, one block of channels. dA is (Z, K, S, C, N), dB and dC are (blocks, Z, K, L, N).

    Grid (Z * K * S, blocks).
    """
    program, block = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    sequence, s = program // S, program % S
    sequences = tl.num_programs(0) // S
    rows, n = tl.arange(0, T), tl.arange(0, PADDED)
    t = s * T + rows
    Bs, Cs = _load_states(B, sequence, t, n, L, N), _load_states(C_, sequence, t, n, L, N)
    earlier_Bs = _load_states(B, sequence, tl.where(rows == 0, -1, t - 1), n, L, N)
    sum_dB, sum_dC = tl.zeros_like(Bs), tl.zeros_like(Cs)
    for c in range(block * BLOCK, tl.minimum(block * BLOCK + BLOCK, C)):
        channel = sequence % K * C + c
        at = (sequence * L + t) * C + c
        decay_rate = tl.load(A + channel * N + n, mask=n < N, other=0)
        skip, shift = tl.load(D + channel), tl.load(bias + channel)
        edge = ((sequence * S + s) * N + n) * C + c
        start = tl.load(states + edge, mask=n < N, other=0)
        carry = tl.load(adjoints + edge, mask=n < N, other=0)
        token, outer = tl.load(u + at, mask=t < L, other=0), tl.load(dy + at, mask=t < L, other=0)
        step = _load_steps(delta, shift, sequence, t, c, L, C)
        # States before each position: the scan of the steps one position earlier, begun with the chunk's start.
        earlier = tl.where(rows == 0, -1, t - 1)
        earlier_step = _load_steps(delta, shift, sequence, earlier, c, L, C)
        earlier_token = tl.load(u + (sequence * L + earlier) * C + c, mask=(earlier >= 0) & (earlier < L), other=0)
        drive = (earlier_step * earlier_token)[:, None] * earlier_Bs
        drive += tl.where(rows[:, None] == 0, start[None, :], 0)
        _, before = tl.associative_scan((tl.exp(earlier_step[:, None] * decay_rate[None, :]), drive), 0, _compose)
        decay = tl.exp(step[:, None] * decay_rate[None, :])
        after = decay * before + (step * token)[:, None] * Bs
        g = _adjoint(dy, delta, shift, C_, decay_rate, carry, sequence, t, n, c, L, C, N, T)
        through_decay = g * decay * before
        through_drive = tl.sum(g * Bs, 1)
        sum_dB += g * (step * token)[:, None]
        sum_dC += after * outer[:, None]
        d_step = tl.sum(through_decay * decay_rate[None, :], 1) + token * through_drive
        raw = tl.load(delta + at, mask=t < L, other=0) + shift
        tl.store(du + at, step * through_drive + skip * outer, mask=t < L)
        tl.store(ddelta + at, d_step * _softplus_slope(raw), mask=t < L)
        tl.store(dA + (program * C + c) * N + n, tl.sum(through_decay * step[:, None], 0), mask=n < N)
    out = ((block * sequences + sequence) * L + t[:, None]) * N + n[None, :]
    inside = (t < L)[:, None] & (n < N)[None, :]
    tl.store(dB + out, sum_dB, mask=inside)
    tl.store(dC + out, sum_dC, mask=inside)
