"""PathProx: a torch optimiser that turns weight decay into a proximal step per homogeneous unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer

from ot_latent._units import UnitBlock, check_disjoint, normalise_, project_, shrink_


class PathProx(Optimizer):
    r"""Weight decay as what it amounts to: a base optimiser followed by a proximal step per unit.

    Minimises ``L + strength * sum_k |w_k| |v_k|`` over chosen units (PathProx; Yang, Zhang, Shafran,
    Shah, Nowak 2022), of which ``L + strength / 2 * sum_k (|w_k|^2 + |v_k|^2)`` has the same minimum.
    A step is that of the base optimiser; then every w_k (with its bias) is divided by its norm,
    and v_k is multiplied by ``max(0, 1 - strength * lr / |v_k|)``. Units become exactly zero.

    With plain gradient descent as the base this is projected proximal gradient descent on the
    objective. With momentum its buffers are not rescaled, and with Adam the threshold is in units of
    normalised gradients: heuristics, as decoupled weight decay is.

    The constructor rescales every unit to ``|w_k| = 1`` once, which leaves the function as it is.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Takes the gradient steps. Give it no weight decay on the parameters of the units.
    units : sequence of UnitBlock
        Blocks that share no parameter.
    strength : float
        Weight of the path norm in the objective; the threshold is `strength` times the current
        learning rate of the parameters of v.

    Raises
    ------
    ValueError
        If `strength` is negative, two blocks share a parameter, or the base optimiser does not
        know a parameter of the units.

    Examples
    --------
    >>> from ot_latent.theory.sparsity import homogeneous_units
    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> base = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> optimizer = PathProx(base, homogeneous_units(net), strength=100.0)
    >>> net(torch.ones(1, 1)).sum().backward()
    >>> optimizer.step()
    >>> float(net[2].weight.detach().abs().sum())  # a threshold of 10 silences every unit
    0.0
    """

    def __init__(self, optimizer: Optimizer, units: Sequence[UnitBlock], strength: float) -> None:
        if not strength >= 0 or strength == float("inf"):
            raise ValueError(
                f"strength must be a number >= 0, got {strength!r}; pass the weight of the path "
                "norm in the objective."
            )
        check_disjoint(units)
        self.base, self.units, self.strength = optimizer, list(units), float(strength)
        known = {id(p): n for n, group in enumerate(self.param_groups) for p in group["params"]}
        for block in self.units:
            unknown = [p for p in block.parameters() if id(p) not in known]
            if unknown:
                raise ValueError(
                    f"optimizer must hold every parameter of the units, got {len(unknown)} "
                    f"unknown of {' -> '.join(block.names)}; pass the model's parameters."
                )
        self._groups = [known[id(block.outgoing.parameter)] for block in self.units]
        for block in self.units:
            normalise_(block)

    # The state is the base optimiser's: schedulers, scalers and files see one optimiser.

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Parameter groups of the base optimiser."""
        return self.base.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        """State of the base optimiser."""
        return self.base.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """Default settings of the base optimiser."""
        return self.base.defaults

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one gradient step and one proximal step.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the loss anew, for base optimisers that need it.

        Returns
        -------
        float or None
            What the base optimiser returns.
        """
        loss = self.base.step() if closure is None else self.base.step(closure)
        for block, number in zip(self.units, self._groups, strict=True):
            project_(block)
            shrink_(block, self.strength * float(self.param_groups[number]["lr"]))
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients.

        Parameters
        ----------
        set_to_none : bool, default=True
            Whether gradients become None instead of zeros.
        """
        self.base.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Give the base optimiser further parameters.

        Parameters
        ----------
        param_group : dict
            As for any optimiser.
        """
        self.base.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the base optimiser, and the strength.

        Returns
        -------
        dict
            Keys "state", "param_groups", "strength".
        """
        return {**self.base.state_dict(), "strength": self.strength}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put back what `state_dict` returned.

        Parameters
        ----------
        state_dict : dict
            Output of `state_dict`; without "strength" the present one stays.
        """
        kept = dict(state_dict)
        self.strength = float(kept.pop("strength", self.strength))
        self.base.load_state_dict(kept)
