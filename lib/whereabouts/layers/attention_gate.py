r"""The additive grid attention gate (Schlemper et al. 2019, section 2.2): coarse features say where fine ones matter.

$q_i = \psi^T \mathrm{ReLU}(W_x^T x_i + W_g^T g_i + b_{xg}) + b_\psi$ (equation 1), $\alpha = \sigma_2(q)$ (equation 2),
$\hat x_i = \alpha_i x_i$. The gating signal g is a map of a coarser scale ("grid attention"), brought to the grid on
which q is computed by linear interpolation.

Differs from the text, as the released code does where it segments: $W_x$ is a 2x2x2 convolution with stride 2
(`subsample`; 1 is the text's 1x1x1), so that q lives on a grid of half the resolution; and $\hat x$ passes an output
transform, a 1x1x1 convolution with batch normalisation (`transform`).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
NORMALISATION = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
LINEAR = {4: "bilinear", 5: "trilinear"}  # by the number of axes of a batch
OPEN = 3.0  # the bias with which sigmoid gates start: .95 passes
STARTS = ("open", "released")


def resize(x: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
    """Maps (B, C, ...) interpolated linearly onto a grid of `size`; themselves if they have it."""
    if x.shape[2:] == size:
        return x
    return interpolate(x, tuple(size), mode=LINEAR[x.ndim], align_corners=align_corners)


def shifted(q: Tensor) -> Tensor:
    r"""$(q - \min q)/\sum (q - \min q)$ over the positions (section 2.4); uniform where q is the same everywhere.

    Args:
        q: (B, 1, ...).
    """
    axes = tuple(range(2, q.ndim))
    above = q - q.amin(axes, keepdim=True)
    total = above.sum(axes, keepdim=True)
    flat = above.amax(axes, keepdim=True) <= 1e-6 * (1 + q.abs().amax(axes, keepdim=True))
    return torch.where(flat, 1 / q[0, 0].numel(), above / total.where(~flat, 1))


def softmax(q: Tensor) -> Tensor:
    """Softmax over all positions of q (B, 1, ...)."""
    return torch.softmax(q.flatten(2), dim=2).view_as(q)


NORMALISATIONS = {"sigmoid": torch.sigmoid, "softmax": softmax, "shifted": shifted}  # sigma_2


class AttentionGate(nn.Module):
    """Scale the features at every position by a coefficient in [0, 1] that coarser ones help to choose (section 2.2).

    It starts by letting everything pass (sections 3.2 and 3.5): the coefficients are .95 everywhere (sigmoid), or equal
    (softmax), since psi is 0; see `parameter_groups`. The released code starts so in classification only. With
    "shifted" that point has no gradient, so its weights start at random whatever `start` says.

    Args:
        channels: C, feature maps of x.
        gating: G, feature maps of g.
        inner: F_int; C if None.
        spatial_dims: 2, or 3 for volumes.
        subsample: size and stride of W_x.
        normalisation: sigma_2, one of `NORMALISATIONS`.
        transform: whether a 1x1 convolution with batch normalisation follows.
        bias: whether there is a b_xg.
        align_corners: of the interpolations; True as in PyTorch before 0.4, on which the code was released.
        start: "open" as above, or "released": psi at random, as all convolutions.

    Raises:
        ValueError: an option is unknown.
    """

    def __init__(
        self,
        channels: int,
        gating: int,
        inner: int | None = None,
        spatial_dims: int = 3,
        subsample: int = 2,
        normalisation: str = "sigmoid",
        transform: bool = True,
        bias: bool = True,
        align_corners: bool = True,
        start: str = "open",
    ):
        super().__init__()
        for name, value, known in [
            ("spatial_dims", spatial_dims, CONVOLUTION),
            ("normalisation", normalisation, NORMALISATIONS),
            ("start", start, STARTS),
        ]:
            if value not in known:
                raise ValueError(f"{name}={value!r}: unknown; choose one of {', '.join(map(str, known))}")
        convolution, inner = CONVOLUTION[spatial_dims], inner or channels
        self.align_corners, self.normalise = align_corners, NORMALISATIONS[normalisation]
        self.w_x = convolution(channels, inner, subsample, stride=subsample, bias=False)
        self.w_g = convolution(gating, inner, 1, bias=bias)
        self.psi = convolution(inner, 1, 1)
        self.transform = nn.Identity()
        if transform:
            self.transform = nn.Sequential(convolution(channels, channels, 1), NORMALISATION[spatial_dims](channels))
        self.open = start == "open" and normalisation != "shifted"
        self.let_pass()

    def let_pass(self) -> None:
        """Set psi so that everything passes, if the gate starts so."""
        if self.open:
            nn.init.zeros_(self.psi.weight)
            nn.init.constant_(self.psi.bias, OPEN)

    def coefficients(self, x: Tensor, g: Tensor) -> Tensor:
        """alpha (B, 1, H, W[, D]), on the grid of x (B, C, H, W[, D]); g (B, G, ...) is of any grid.

        Where positions share a sum of 1, they do so on the grid of q.
        """
        fine = self.w_x(x)  # (B, F_int, H/s, W/s[, D/s])
        coarse = resize(self.w_g(g), fine.shape[2:], self.align_corners)
        q = self.psi(relu(fine + coarse, inplace=True))  # (B, 1, H/s, W/s[, D/s])
        q = q.to(torch.promote_types(q.dtype, torch.float32))  # half precision is too coarse to normalise in
        return resize(self.normalise(q), x.shape[2:], self.align_corners)

    def apply_to(self, x: Tensor, alpha: Tensor) -> Tensor:
        """x scaled by alpha and transformed: as x."""
        return self.transform(x * alpha.to(x.dtype))

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """x (B, C, H, W[, D]) and the gating signal g (B, G, ...) -> as x."""
        return self.apply_to(x, self.coefficients(x, g))


class MultiAttentionGate(nn.Module):
    """Several gates on the same features, whose outputs are joined and combined (section 2.2.1).

    Args:
        channels, gating, spatial_dims, options: as for `AttentionGate`.
        gates: how many; each may come to select other structures.

    Raises:
        ValueError: an option is unknown.
    """

    def __init__(self, channels: int, gating: int, gates: int = 2, spatial_dims: int = 3, **options):
        super().__init__()
        self.gates = nn.ModuleList(
            AttentionGate(channels, gating, spatial_dims=spatial_dims, **options) for _ in range(gates)
        )
        self.combine = nn.Sequential(
            CONVOLUTION[spatial_dims](gates * channels, channels, 1),
            NORMALISATION[spatial_dims](channels),
            nn.ReLU(inplace=True),
        )

    def coefficients(self, x: Tensor, g: Tensor) -> Tensor:
        """One map a gate, (B, gates, H, W[, D])."""
        return torch.cat([gate.coefficients(x, g) for gate in self.gates], dim=1)

    def apply_to(self, x: Tensor, alpha: Tensor) -> Tensor:
        """x (B, C, ...) under the maps alpha (B, gates, ...): as x."""
        gated = [gate.apply_to(x, a) for gate, a in zip(self.gates, alpha.split(1, dim=1), strict=True)]
        return self.combine(torch.cat(gated, dim=1))

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """x (B, C, H, W[, D]) and g (B, G, ...) -> as x."""
        return self.apply_to(x, self.coefficients(x, g))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """The parameters of a network for its optimiser; those that make the coefficients of open gates do not decay.

    While psi is near 0, data tell W_x and W_g next to nothing. Adam, which scales what little there is to steps of full
    size, would follow the decay, which always points to 0: in 200 steps of the demo, at a rate of 3e-3 and with three
    seeds, W_x of the coarsest gates fell to .12 to .19 of its start; so it stays at 1.02 to 1.05. The text has none.

    Args:
        weight_decay: of all others; in the released code 1e-6 of all.
    """
    gates = [layer for layer in model.modules() if isinstance(layer, AttentionGate) and layer.open]
    kept = [weight for gate in gates for part in (gate.w_x, gate.w_g, gate.psi) for weight in part.parameters()]
    ours = set(map(id, kept))
    decaying = [weight for weight in model.parameters() if id(weight) not in ours]
    groups = {"params": decaying, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}
    return [group for group in groups if group["params"]]
