"""Examples of yolo_max.convert, explained in docs/convert-examples.md.

python scripts/convert_examples.py               # all of them
python scripts/convert_examples.py mlp rule      # some

The first run compiles a graph for each network, about a minute each; later runs find them in the cache.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from max.graph import ops
from torch import nn

from yolo_max.convert import Rule, UnsupportedOperations, convert_pytorch_model, export, state_dict


def mlp() -> None:
    """An MLP in ten lines."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 5)).eval()
    max_model = convert_pytorch_model(model, input_shapes=[("batch", 20)], model_name="mlp")
    x = torch.randn(3, 20)
    y = max_model(x)
    print(f"largest difference from PyTorch: {(y - model(x)).abs().max():.1e}")
    assert torch.allclose(y, model(x), atol=1e-6)


def batches() -> None:
    """Batch inference: one graph for batches of any length."""
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 5)).eval()
    max_model = convert_pytorch_model(model, input_shapes=[("batch", 20)], model_name="mlp")
    rows = torch.randn(1000, 20)
    classes = torch.cat([max_model(part).argmax(1) for part in rows.split(384)])  # 384, 384, 232
    agree = int((classes == model(rows).argmax(1)).sum())
    print(f"{agree} of {len(rows)} rows have PyTorch's class")
    assert agree == len(rows)


@torch.library.custom_op("convert_examples::to_steps", mutates_args=())  # type: ignore[untyped-decorator]
def to_steps(x: torch.Tensor, step: float) -> torch.Tensor:
    """Rounds to multiples of a step, as quantised activations are: PyTorch's side of the layer."""
    return (x / step).round() * step


@to_steps.register_fake  # type: ignore[untyped-decorator]
def _(x: torch.Tensor, step: float) -> torch.Tensor:
    del step
    return torch.empty_like(x)


class Steps(nn.Module):  # type: ignore[misc]
    """The layer that nobody mapped."""

    def forward(self, x: torch.Tensor) -> Any:
        """Values between 0 and 1, in quarters."""
        return to_steps(x.sigmoid(), 0.25)


def rule() -> None:
    """A rule of one's own, for a layer that nobody mapped."""
    model = Steps().eval()
    try:
        convert_pytorch_model(model, input_shapes=[("batch", 8)])
    except UnsupportedOperations as error:
        print(error)

    def lower(_call: Any, x: Any, step: float) -> Any:
        return ops.round(x / step) * step

    steps = Rule(torch.ops.convert_examples.to_steps.default, lower)
    max_model = convert_pytorch_model(model, input_shapes=[("batch", 8)], rules=[steps])
    x = torch.randn(4, 8)
    print(max_model(x)[0])
    assert torch.equal(max_model(x), model(x))


def transformer() -> None:
    """A transformer encoder: any batch, any length."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, nhead=4, dim_feedforward=64, activation="gelu", batch_first=True)
    model = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False).eval()
    max_model = convert_pytorch_model(model, input_shapes=[("batch", "length", 32)], model_name="encoder")
    for batch, length in ((1, 7), (3, 50)):
        tokens = torch.randn(batch, length, 32)
        difference = (max_model(tokens) - model(tokens)).abs().max().item()
        print(f"{batch} x {length} tokens: largest difference from PyTorch {difference:.1e}")
        assert difference < 1e-5


def benchmark() -> None:
    """MAX and PyTorch on this machine, each in a process of its own, in turn."""
    from yolo_max.bench.module_bench import ModuleBench
    from yolo_max.bench.report.text import markdown

    bench = ModuleBench("convert_examples:make_mlp", ["batch=64,20"], engines=["max", "torch"], seconds=0.2)
    results = bench.run(print)
    print(markdown(results.table()))
    assert results.parity["max"] <= 4


def make_mlp() -> nn.Module:
    """What the benchmark measures: any class or function that makes a module."""
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 5))


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # whoever imports it fails
import numpy as np
from yolo_max.convert import load

network = load(sys.argv[1])
rows = np.load(sys.argv[2])
print(network(rows).argmax(1).tolist())
"""


def finetuned() -> None:
    """A network that was fine-tuned, exported, and run where there is no PyTorch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 5))
    rows = torch.randn(512, 20)
    labels = rows[:, :5].argmax(1)
    model[0].requires_grad_(False)  # the new last layer alone is trained
    optimiser = torch.optim.Adam(model[3].parameters(), 0.02)
    for _ in range(100):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(rows), labels).backward()
        optimiser.step()
    model.eval()
    found = model(rows).argmax(1)
    print(f"{float((found == labels).float().mean()):.0%} of the rows it was trained on are right")

    with tempfile.TemporaryDirectory() as folder:
        file, inputs = Path(folder) / "mlp.safetensors", Path(folder) / "rows.npy"
        export(model, file, input_shapes=[("batch", 20)])
        np.save(inputs, rows[:10].numpy())
        command = [sys.executable, "-c", WITHOUT_TORCH, str(file), str(inputs)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"without PyTorch: {printed.strip()}")
        assert printed.strip() == str(found[:10].tolist())
        model.load_state_dict(state_dict(file))  # and back, bit for bit


EXAMPLES: dict[str, Callable[[], None]] = {
    each.__name__: each for each in (mlp, batches, rule, transformer, benchmark, finetuned)
}


def main(names: list[str]) -> None:
    """Runs examples by name; all for none."""
    if unknown := [name for name in names if name not in EXAMPLES]:
        raise SystemExit(f"there is no example {unknown[0]!r}; use some of {', '.join(EXAMPLES)}.")
    for name in names or EXAMPLES:
        print(f"== {name}: {(EXAMPLES[name].__doc__ or '').splitlines()[0]}")
        EXAMPLES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
