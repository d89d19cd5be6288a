"""The kernels on 64-bit Arm, in an emulator: those of their tests that need not share its memory.

Strays are found here too: every array ends at a page that must not be touched.
"""

from __future__ import annotations

import kernel_emulated
import pytest
from kernel_emulated import EmulatedKernels
from test_kernels import (
    test_convolutions,
    test_masks_that_do_not_fit_are_refused,
    test_max_pool_of_a_slice,
    test_sums_over_doubled_channels_are_as_exact_as_others,
    test_tensors_that_do_not_fit_are_refused,
    test_the_stem_divides_bytes_as_pytorch_does,
    test_tiles_outside_of_the_mask_are_left_alone,
    test_views_are_read_as_if_they_were_one_tensor,
)
from test_kernels_attention import (
    test_a_nan_reaches_its_queries_and_no_others,
    test_attention,
    test_heads_are_read_where_they_are,
)
from test_kernels_copies import test_views_become_one_tensor
from test_kernels_epilogue import (
    test_activations_over_their_whole_range,
    test_what_follows_the_sums,
    test_what_is_no_number_stays_none,
)
from test_kernels_matmul import test_batches, test_linear, test_products, test_softmax
from test_kernels_norms import test_layer_norm, test_what_is_no_number_spoils_its_row_alone
from test_kernels_pool import test_adaptive_pools, test_average_pool, test_max_pool
from test_kernels_resize import test_resize_to_a_size
from test_kernels_transposed import test_transposed_convolutions
from test_kernels_windows import test_depthwise_reads_views, test_windows
from test_model_detect import (
    test_a_logit_that_is_no_number_makes_a_candidate,
    test_candidates,
    test_the_head_writes_candidates_and_no_others,
)

__all__ = [
    "test_a_logit_that_is_no_number_makes_a_candidate",
    "test_a_nan_reaches_its_queries_and_no_others",
    "test_activations_over_their_whole_range",
    "test_adaptive_pools",
    "test_attention",
    "test_average_pool",
    "test_batches",
    "test_candidates",
    "test_convolutions",
    "test_depthwise_reads_views",
    "test_heads_are_read_where_they_are",
    "test_layer_norm",
    "test_linear",
    "test_masks_that_do_not_fit_are_refused",
    "test_max_pool",
    "test_max_pool_of_a_slice",
    "test_products",
    "test_resize_to_a_size",
    "test_softmax",
    "test_sums_over_doubled_channels_are_as_exact_as_others",
    "test_tensors_that_do_not_fit_are_refused",
    "test_the_head_writes_candidates_and_no_others",
    "test_the_stem_divides_bytes_as_pytorch_does",
    "test_tiles_outside_of_the_mask_are_left_alone",
    "test_transposed_convolutions",
    "test_views_are_read_as_if_they_were_one_tensor",
    "test_views_become_one_tensor",
    "test_what_follows_the_sums",
    "test_what_is_no_number_spoils_its_row_alone",
    "test_what_is_no_number_stays_none",
    "test_windows",
]


@pytest.fixture(scope="module")
def kernels(request: pytest.FixtureRequest) -> EmulatedKernels:
    """Takes the place of the fixture of ``conftest`` in these tests."""
    if missing := kernel_emulated.missing():
        pytest.skip(f"{' and '.join(missing)} not installed (Debian: qemu-user, gcc-aarch64-linux-gnu)")
    assert request.config.cache is not None
    return EmulatedKernels(kernel_emulated.build(request.config.cache.mkdir("kernels")))
