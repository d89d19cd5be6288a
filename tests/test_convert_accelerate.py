"""When an accelerated module is converted, and when it is PyTorch's. Nothing is compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from yolo_max.convert import ConversionError, accelerate, accelerated, refresh

pytestmark = pytest.mark.filterwarnings("ignore:the weights of .* want gradients")


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The shapes that were converted; a converted module gives what it gave when it was, plus 1000."""
    done: list[Any] = []

    def convert(module: Any, shapes: Any, **_: Any) -> Callable[..., Any]:
        if isinstance(module[0], nn.Tanh):
            raise ConversionError("no tanh today.")
        done.append(shapes)
        frozen = {name: value.clone() for name, value in module.state_dict().items()}
        return lambda *args: torch.func.functional_call(module.train(), frozen, args) + 1000

    monkeypatch.setattr(accelerated, "convert_pytorch_model", convert)
    return done


@accelerate
class Network(nn.Sequential):  # type: ignore[misc]
    """A class, decorated."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*(layers or [nn.Linear(4, 2)]))


def is_converted(y: torch.Tensor) -> bool:
    return bool((y > 500).all())


@pytest.mark.parametrize("make", [lambda: Network(), lambda: accelerate(nn.Sequential(nn.Linear(4, 2)))])
def test_it_is_converted_once_for_each_shape(conversions: list[Any], make: Callable[[], nn.Module]) -> None:
    network = make().eval()
    for rows in (3, 3, 5, 3):
        assert is_converted(network(torch.randn(rows, 4)))
        network.eval()
    assert conversions == [[(3, 4)], [(5, 4)]]


def test_other_weights_are_converted_again(conversions: list[Any]) -> None:
    network, x = Network().eval(), torch.randn(3, 4)
    before = network(x)
    network.eval()
    with torch.no_grad():
        network[0].weight.add_(1)
        assert not torch.equal(network(x), before)
        network.eval()
        network.load_state_dict(Network().state_dict())
        network(x)
    assert len(conversions) == 3


def given_other_data(network: nn.Module) -> None:
    network[0].weight.data = network[0].weight.data * 2


def replaced(network: nn.Module) -> None:
    network[1] = nn.SiLU()


def written_through_data(network: nn.Module) -> None:
    network[0].weight.data.mul_(2)
    refresh(network)


def written_by_numpy(network: nn.Module) -> None:
    network[0].weight.detach().numpy()[0, 0] += 1
    refresh(network)


@pytest.mark.parametrize("change", [given_other_data, replaced, written_through_data, written_by_numpy])
def test_changes_that_no_version_counts_are_converted_again(
    conversions: list[Any], change: Callable[[nn.Module], None]
) -> None:
    """Some of them when one says so."""
    network, x = Network(nn.Linear(4, 2), nn.ReLU()).eval(), torch.randn(3, 4)
    network(x)
    for _ in range(2):
        change(network.eval())
        network.eval()(x)
        network.eval()(x)
    assert len(conversions) == 3


@pytest.mark.parametrize("place", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_are_refused(conversions: list[Any], place: str) -> None:
    network = Network().eval()
    hook = getattr(network[0], place)(lambda *_: None)
    with pytest.raises(ConversionError, match="its module 0 has forward hooks"):
        network(torch.randn(3, 4))
    hook.remove()
    assert is_converted(network(torch.randn(3, 4)))
    assert len(conversions) == 1


@pytest.mark.usefixtures("conversions")
def test_a_result_without_gradients_is_never_silent() -> None:
    network, x = Network().eval(), torch.randn(3, 4)
    with pytest.warns(UserWarning, match="the weights of Network want gradients, and its result on MAX has"):
        network(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.no_grad():
            network.eval()(x)
        network.eval().requires_grad_(False)(x)


def test_training_is_pytorchs(conversions: list[Any]) -> None:
    network = Network()
    y = network(torch.randn(3, 4))
    y.sum().backward()
    assert network[0].weight.grad is not None
    assert conversions == []


def test_inside_another_module_that_is_exported_it_is_pytorchs(conversions: list[Any]) -> None:
    outer = nn.Sequential(Network(), nn.ReLU()).eval()
    exported = torch.export.export(outer, (torch.randn(3, 4),))
    assert any(node.target is torch.ops.aten.linear.default for node in exported.graph.nodes)
    assert conversions == []


def test_it_is_the_module_that_it_was() -> None:
    plain = nn.Sequential(nn.Linear(4, 2))
    network = accelerate(plain)
    assert network is plain
    assert isinstance(network, nn.Sequential)
    assert list(network.state_dict()) == ["0.weight", "0.bias"]
    assert is_converted(nn.Sequential(nn.Linear(4, 2)).eval()(torch.randn(3, 4)) + 1000)  # others are not


def test_what_cannot_be_converted_is_an_error(conversions: list[Any]) -> None:
    network = Network(nn.Tanh()).eval()
    for _ in range(2):
        with pytest.raises(ConversionError, match="no tanh today"):
            network(torch.randn(3, 4))
    assert conversions == []


@pytest.mark.usefixtures("conversions")
def test_a_fallback_is_never_silent() -> None:
    network, x = accelerate(nn.Sequential(nn.Tanh()), fallback=True).eval(), torch.randn(3, 4)
    for _ in range(2):
        with pytest.warns(UserWarning, match="Sequential runs in PyTorch: no tanh today"):
            assert torch.equal(network(x), x.tanh())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_converted(accelerate(nn.Sequential(nn.ReLU()), fallback=True).eval()(x))


@pytest.mark.usefixtures("conversions")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda network: network(torch.randn(3, 4, requires_grad=True)), "an input wants gradients"),
        (lambda network: network(input=torch.randn(3, 4)), "takes tensors by position only"),
        (lambda network: network([torch.randn(3, 4)]), "takes tensors by position only"),
    ],
)
def test_arguments_that_are_refused(call: Callable[[nn.Module], Any], message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        call(Network().eval())


def test_without_gradients_an_input_may_want_them(conversions: list[Any]) -> None:
    with torch.no_grad():
        assert is_converted(Network().eval()(torch.randn(3, 4, requires_grad=True)))
    assert len(conversions) == 1


def test_only_modules() -> None:
    with pytest.raises(TypeError, match="a class of them, not int"):
        accelerate(3)
