"""Replace every convolution of a PyTorch module by the fused kernels: a second, independent network.

    python scripts/inject_torch.py path/to/yolov8n.pt --size 640 --threads 2

The module is Ultralytics' own, fused. Its convolutions are replaced one by one; split, concat, upsample,
add and pooling stay PyTorch's. Prints the differences from the module's own results, in float32 and float64,
and the times of both. Exits with 1 if the parity rubric does not hold.

The kernels are called through ctypes, on the memory of channels_last tensors, and come as a separate library
(tests/support/kernel_harness.mojo), because PyTorch's bridge to MAX compiles a graph for every shape.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from kernel_harness import Kernels, Map, build

from yolo_max.engine.torch_engine import TorchEngine
from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import ConvKernel
from yolo_max.kernels.precision import Precision
from yolo_max.tasks.rubric import TensorDifference


class FusedConv(torch.nn.Module):  # type: ignore[misc]
    """A convolution, with SiLU or without, on the kernels; batch norm is in its weights already."""

    def __init__(self, conv: Any, act: bool, kernels: Kernels) -> None:
        super().__init__()
        self.kernels = kernels
        self.activation = Activation.SILU if act else Activation.NONE
        self.k, self.s = conv.kernel_size[0], conv.stride[0]
        self.kernel = ConvKernel.choose(conv.in_channels, self.k, self.s, Precision.F32)
        filters = conv.weight.detach().permute(2, 3, 1, 0).contiguous().numpy()
        self.weight = self.kernel.pack(filters, Precision.F32)
        self.bias = packing.pack_bias(conv.bias.detach().numpy())
        self.channels = conv.out_channels

    def forward(self, x: Any) -> Any:
        """NCHW in channels_last, as PyTorch keeps it, and back."""
        nhwc = x.permute(0, 2, 3, 1).contiguous().numpy()
        height, width = ((size + 2 * (self.k // 2) - self.k) // self.s + 1 for size in nhwc.shape[1:3])
        y = np.empty((len(nhwc), height, width, self.channels), np.float32)
        self.kernels.convolve(
            self.kernel,
            [Map(nhwc)],
            self.weight,
            self.bias,
            y,
            k=self.k,
            s=self.s,
            activation=self.activation,
        )
        return torch.from_numpy(y).permute(0, 3, 1, 2)


def inject(module: Any, kernels: Kernels) -> int:
    """Replaces every convolution below a module, but for the fixed one of DFL; returns how many."""
    from ultralytics.nn.modules import DFL, Conv

    count = 0
    for name, child in module.named_children():
        if isinstance(child, DFL):
            continue
        if isinstance(child, Conv):
            child.conv, child.act = FusedConv(child.conv, True, kernels), torch.nn.Identity()
        elif isinstance(child, torch.nn.Conv2d):
            module.add_module(name, FusedConv(child, False, kernels))
        else:
            count += inject(child, kernels)
            continue
        count += 1
    return count


def raw_head(model: Any, x: Any) -> Any:
    """Box and class logits of a module, ``[B, 64 + nc, A]``."""
    maps = model(x)[1]
    return torch.cat([maps["boxes"], maps["scores"]], 1)


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="a .pt or .safetensors file")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    folder = Path(tempfile.gettempdir()) / "yolo_max_kernels"
    folder.mkdir(exist_ok=True)
    kernels = Kernels(build(folder, None), arguments.threads)

    theirs = TorchEngine(arguments.weights, channels_last=True).module
    ours = copy.deepcopy(theirs)
    print(f"{inject(ours, kernels)} convolutions replaced")
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((arguments.batch, 3, arguments.size, arguments.size), np.float32))
    x = x.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        exact = raw_head(copy.deepcopy(theirs).double(), x.double())
        reference, got = raw_head(theirs, x), raw_head(ours, x)
        times: dict[str, list[float]] = {"PyTorch": [], "injected": []}
        for _ in range(arguments.rounds):
            for name, model in (("PyTorch", theirs), ("injected", ours)):
                start = time.perf_counter()
                model(x)
                times[name].append(time.perf_counter() - start)
    off = TensorDifference.between("head", got.numpy(), reference.numpy(), exact.numpy())
    verdict = off.verdict + off.precision_verdict
    print(f"raw head: off from PyTorch by {off.difference:.1e} at most (allowed: {off.bound:.1e})")
    print(f"off from float64, root mean square: {off.max_error:.1e}; PyTorch itself: {off.torch_error:.1e}")
    for name, values in times.items():
        print(f"{name}: {np.median(values) * 1e3:.1f} ms (best {min(values) * 1e3:.1f})")
    print(verdict)
    return int(not verdict.holds)


if __name__ == "__main__":
    sys.exit(main())
