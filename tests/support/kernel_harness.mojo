"""The kernels behind a C interface, so that tests can call them on memory of their own making.

Built by kernel_harness.py with `mojo build --emit object -I .` in the repository, for this processor or another one.
"""

from std.benchmark import keep
from std.runtime import initialize_runtime
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext

from yolo_max.kernels import table
from yolo_max.kernels.arguments import Call, Params, Tensor
from yolo_max.kernels.lanes import AVX512, BF16, BF16_PRODUCTS, BLOCK, F32, Ptr, MR, V
from yolo_max.kernels.parallel import Workers

comptime Numbers = Ptr[DType.int64]


def tensor_at(numbers: Numbers, index: Int) -> Tensor:
    """Five numbers: address, batch, height, width, channels."""
    var p = numbers.unsafe_offset(5 * index)
    return Tensor(
        Int(p[unsafe_offset=0]), Int(p[unsafe_offset=1]), Int(p[unsafe_offset=2]), Int(p[unsafe_offset=3]),
        Int(p[unsafe_offset=4]),
    )


def run[
    T: DType
](
    place: Int, params: Params, numbers: Numbers, count: Int, weight: Int, bias: Int, least: Float32, workers: Int
) raises:
    """Runs the kernel at a place of the table, on `count` tensors and the result, the last one at `numbers`."""
    var tensors = List[Tensor]()
    for i in range(count + 1):
        tensors.append(tensor_at(numbers, i))
    var first = Pointer[Tensor, MutUntrackedOrigin](unsafe_from_address=Int(tensors.unsafe_ptr()))
    var processor = DeviceContext(api="cpu")
    var call = Call(params, first, count, weight, bias, least, Workers(workers, Int(Pointer(to=processor))))
    var found = False
    comptime for candidate in range(table.COUNT):
        if candidate == place:
            table.kernel[T, candidate]()(call)
            found = True
    _ = tensors^
    _ = processor^
    if not found:
        raise Error("there is no kernel ", place)


@export
def harness_start() abi("C"):
    """To be called once, before anything runs on several threads."""
    initialize_runtime()


@export
def harness_target() abi("C") -> Int:
    """1 for AVX-512, 2 if it also has products of bfloat16; else 0."""
    return Int(AVX512) + Int(AVX512 and BF16_PRODUCTS)


@export
def harness_peak(rounds: Int, workers: Int) abi("C") -> Int:
    """Multiplies and adds in registers, as fast as that goes, on every worker; returns operations done."""
    comptime SUMS = MR * (2 if AVX512 else 1)

    def task(task: Int) {imm}:
        var sums = Array[V, SUMS](fill=V(Float32(task)))
        for i in range(rounds):
            comptime for j in range(SUMS):
                sums[j] = sums[j].fma(V(Float32(0.5)), V(Float32(i)))
        var total = V(0)
        comptime for j in range(SUMS):
            total += sums[j]
        keep(total)

    sync_parallelize(task, workers)
    return workers * rounds * SUMS * BLOCK * 2


@export
def harness_run(
    place: Int, bf16: Int, geometry: Int, numbers: Int, count: Int, weight: Int, bias: Int, least: Float64,
    workers: Int, message: Int, size: Int,
) abi("C") -> Int:
    """Runs a kernel; if it raises, returns 1 and leaves the text, ended by a zero, in `message`."""
    try:
        var params = Params(unsafe_from_address=geometry)
        var tensors = Numbers(unsafe_from_address=numbers)
        if bf16 != 0:
            run[BF16](place, params, tensors, count, weight, bias, Float32(least), workers)
        else:
            run[F32](place, params, tensors, count, weight, bias, Float32(least), workers)
        return 0
    except error:
        var text = String(error)
        var bytes = text.as_bytes()
        var target = Ptr[DType.uint8](unsafe_from_address=message)
        var length = min(len(bytes), size - 1)
        for i in range(length):
            target[unsafe_offset=i] = bytes[i]
        target[unsafe_offset=length] = 0
        return 1
