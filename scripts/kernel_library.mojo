"""The kernels behind a C interface, for callers without a graph.

Built by kernel_library.py with `mojo build --emit object -I .` in the repository, for this processor or another one.
"""

from std.benchmark import keep
from std.memory.alloc import unsafe_alloc
from std.os import abort
from std.runtime import initialize_runtime
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext

from yolo_max.kernels import copies, norms, other_convolutions, pools, products, table
from yolo_max.kernels.arguments import Call, Params, Tensor
from yolo_max.kernels.lanes import AVX512, BF16, BF16_PRODUCTS, BLOCK, F32, MR, Ptr, V, load
from yolo_max.kernels.parallel import Workers
from yolo_max.model import detect

comptime Numbers = Ptr[DType.int64]


def tensor_at(numbers: Numbers, index: Int) -> Tensor:
    """Five numbers: address, batch, height, width, channels."""
    var p = numbers.unsafe_offset(5 * index)
    return Tensor(
        Int(p[unsafe_offset=0]), Int(p[unsafe_offset=1]), Int(p[unsafe_offset=2]), Int(p[unsafe_offset=3]),
        Int(p[unsafe_offset=4]),
    )


def run_kernel[
    T: DType
](
    family: Int, id: Int, params: Params, numbers: Numbers, count: Int, weight: Int, bias: Int, run: Ptr[F32],
    context: Int,
) raises:
    """Runs a kernel of one of the tables, on `count` tensors and the result, the last one at `numbers`."""
    var tensors = List[Tensor]()
    for i in range(count + 1):
        tensors.append(tensor_at(numbers, i))
    var first = Pointer[Tensor, MutUntrackedOrigin](unsafe_from_address=Int(tensors.unsafe_ptr()))
    var workers = Workers(Int(run[unsafe_offset=0]), context)
    var call = Call(params, first, count, weight, bias, run, workers)
    var found = False
    comptime for candidate in range(table.COUNT):
        if candidate == id and family == 0:
            table.kernel[T, candidate]()(call)
            found = True
    comptime for candidate in range(detect.COUNT):
        if candidate == id and family == 1:
            detect.kernel[T, candidate]()(call)
            found = True
    comptime for candidate in range(other_convolutions.COUNT):
        if candidate == id and family == 4:
            other_convolutions.kernel[T, candidate]()(call)
            found = True
    comptime for candidate in range(pools.COUNT):
        if candidate == id and family == 3:
            pools.kernel[T, candidate]()(call)
            found = True
    comptime for candidate in range(products.COUNT):
        if candidate == id and family == 2:
            products.kernel[candidate]()(call)
            found = True
    if id == copies.COPY and family == 5:
        copies.copy[T](call)
        found = True
    if id == norms.LAYER_NORM and family == 6:
        norms.layer_norm(call)
        found = True
    _ = tensors^
    if not found:
        raise Error("there is no kernel ", id)


@export
def library_start() abi("C") -> Int:
    """To be called before anything runs on several threads; returns what `library_run` needs for it."""
    initialize_runtime()
    var context = unsafe_alloc[DeviceContext](1)
    try:
        context.unsafe_write(DeviceContext(api="cpu"))
    except error:
        abort(String(error))
    return Int(context)


@export
def library_target() abi("C") -> Int:
    """1 for AVX-512, 2 if it also has products of bfloat16; else 0."""
    return Int(AVX512) + Int(AVX512 and BF16_PRODUCTS)


@export
def library_peak(rounds: Int, workers: Int) abi("C") -> Int:
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
def library_read(address: Int, size: Int, passes: Int, workers: Int) abi("C"):
    """Reads a memory of `size` float32, a multiple of 128 for each worker, as fast as that goes, several times."""

    def task(task: Int) {imm}:
        var p = Ptr[F32](unsafe_from_address=address)
        var sums = Array[V, 8](fill=V(0))
        for _ in range(passes):
            for i in range(size * task // workers, size * (task + 1) // workers, 8 * BLOCK):
                comptime for j in range(8):
                    sums[j] += load[F32, BLOCK](p, i + j * BLOCK)
        var total = V(0)
        comptime for j in range(8):
            total += sums[j]
        keep(total)

    sync_parallelize(task, workers)


@fieldwise_init
struct Job(Copyable, ImplicitlyCopyable, Movable):
    """A call of a kernel, as kernel_library.py writes it: one address takes ctypes less time than a dozen numbers."""

    var family: Int
    var id: Int
    var bf16: Int
    """Whether activations are bfloat16."""
    var params: Int
    """Addresses, of this, the tensors, weights, biases and the numbers of the run."""
    var numbers: Int
    var count: Int
    """Tensors that are read."""
    var weight: Int
    var bias: Int
    var run: Int
    var context: Int
    """What `library_start` has returned, or anything on one thread."""
    var message: Int
    """Address of a text, and its size."""
    var size: Int


@export
def library_run(address: Int) abi("C") -> Int:
    """Runs the kernel of the job there.

    If it raises, returns 1 and leaves the text, ended by a zero, in the job's message.
    """
    ref job = Pointer[Job, MutUntrackedOrigin](unsafe_from_address=address)[]
    try:
        var params = Params(unsafe_from_address=job.params)
        var tensors = Numbers(unsafe_from_address=job.numbers)
        var run = Ptr[F32](unsafe_from_address=job.run)
        if job.bf16 != 0:
            run_kernel[BF16](job.family, job.id, params, tensors, job.count, job.weight, job.bias, run, job.context)
        else:
            run_kernel[F32](job.family, job.id, params, tensors, job.count, job.weight, job.bias, run, job.context)
        return 0
    except error:
        var text = String(error)
        var bytes = text.as_bytes()
        var target = Ptr[DType.uint8](unsafe_from_address=job.message)
        var length = min(len(bytes), job.size - 1)
        for i in range(length):
            target[unsafe_offset=i] = bytes[i]
        target[unsafe_offset=length] = 0
        return 1
