"""Parameters that several processes share: each works on its own part, in place."""

from __future__ import annotations

from torch import Tensor, nn


def local(tensor: Tensor) -> Tensor:
    """Return this process's part of a tensor, or the tensor itself if it is not sharded; memory is shared with it."""
    plain = tensor.detach()
    found: Tensor = plain.to_local() if is_sharded(plain) else plain  # type: ignore[attr-defined]
    return found


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is a DTensor, as `fully_shard` makes them."""
    return hasattr(tensor, "device_mesh")


def forget_gathered(model: nn.Module) -> None:
    """Let modules of `fully_shard` gather their weights anew in the next forward pass.

    A root module keeps them gathered until a backward pass, and would not see that its part has changed.
    """
    for module in model.modules():
        if hasattr(module, "reshard") and hasattr(module, "unshard"):
            getattr(module, "reshard")()  # noqa: B009 - not an attribute that torch declares


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """Return this process's part of a tensor, where and of the dtype that another one is; not copied if it already is.

    Args:
        tensor: whole or sharded, [*S].
        like: what says where, [*S].
    """
    moved = tensor.detach().to(device=like.device, dtype=like.dtype)
    if is_sharded(moved) or not is_sharded(like):
        return local(moved)
    from torch.distributed.tensor import distribute_tensor

    return local(distribute_tensor(moved, like.device_mesh, like.placements))  # type: ignore[attr-defined]


def square_sum(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor's squares over all processes, in float32. -> scalar."""
    total = tensor.detach().float().square().sum()
    whole: Tensor = total.full_tensor() if is_sharded(total) else total  # type: ignore[attr-defined]
    return whole


def same_memory(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors that are not sharded lie in the same memory."""
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr() and one.numel() > 0
