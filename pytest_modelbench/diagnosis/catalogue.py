"""All hypotheses, in the order in which they are tested."""

from __future__ import annotations

from pytest_modelbench.diagnosis.subject import Hypothesis

HYPOTHESES: tuple[Hypothesis, ...] = (
    Hypothesis(
        cause="allocator_churn",
        title="memory that is faulted in again in every call",
        test="allocator_churn:allocator_churn",
        needs_module=False,
        in_fresh_state=True,
    ),
    Hypothesis(
        cause="threads",
        title="more threads than processors or work",
        test="threads:threads",
    ),
    Hypothesis(
        cause="masks_attached",
        title="pruning masks still attached",
        test="masks_attached:masks_attached",
    ),
    Hypothesis(
        cause="weights_rebuilt",
        title="weights computed from others in every call",
        test="weights_rebuilt:weights_rebuilt",
    ),
    Hypothesis(
        cause="dequantise_every_call",
        title="integer weights turned into floats in every call",
        test="weights_rebuilt:dequantise_every_call",
    ),
    Hypothesis(
        cause="hooks_left",
        title="hooks still attached",
        test="hooks_left:hooks_left",
    ),
    Hypothesis(
        cause="two_of_four_without_kernel",
        title="2:4 sparsity without kernels for it",
        test="zeros:two_of_four_without_kernel",
    ),
    Hypothesis(
        cause="unstructured_zeros",
        title="zeros that dense kernels multiply",
        test="zeros:unstructured_zeros",
    ),
    Hypothesis(
        cause="dtype_without_kernel",
        title="a type of number that is slow on this device",
        test="dtype_without_kernel:dtype_without_kernel",
    ),
    Hypothesis(
        cause="denormals",
        title="denormal numbers",
        test="denormals:denormals",
        needs_module=False,
    ),
    Hypothesis(
        cause="training_mode",
        title="layers in training mode",
        test="modes:training_mode",
    ),
    Hypothesis(
        cause="autograd_left_on",
        title="gradients recorded",
        test="modes:autograd_left_on",
        needs_module=False,
    ),
    Hypothesis(
        cause="debug_settings",
        title="settings of torch for debugging",
        test="modes:debug_settings",
        needs_module=False,
    ),
    Hypothesis(
        cause="preprocessing_in_forward",
        title="inputs prepared inside of forward",
        test="preprocessing:preprocessing_in_forward",
    ),
    Hypothesis(
        cause="synchronisation",
        title="the processor waits for the GPU",
        test="waiting:synchronisation",
    ),
    Hypothesis(
        cause="dispatch_bound",
        title="many small operators",
        test="dispatch_bound:dispatch_bound",
    ),
    Hypothesis(
        cause="memory_bound",
        title="more bytes than operations",
        test="memory_bound:memory_bound",
    ),
    Hypothesis(
        cause="rest_dominates",
        title="work that was not made smaller dominates",
        test="rest_dominates:rest_dominates",
    ),
    Hypothesis(
        cause="embeddings_saved",
        title="saved parameters are rows of embeddings",
        test="rest_dominates:embeddings_saved",
    ),
    Hypothesis(
        cause="shared_weights",
        title="shared weights are applied as often",
        test="same_flops:shared_weights",
    ),
    Hypothesis(
        cause="same_flops",
        title="fewer parameters, as many FLOPs",
        test="same_flops:same_flops",
    ),
    Hypothesis(
        cause="shape_alignment",
        title="widths that kernels pad",
        test="shape_alignment:shape_alignment",
    ),
    Hypothesis(
        cause="low_rank_overhead",
        title="factors that are slower than their product",
        test="low_rank_overhead:low_rank_overhead",
    ),
    Hypothesis(
        cause="layout_copies",
        title="copies from one memory layout to another",
        test="conversions:layout_copies",
    ),
    Hypothesis(
        cause="casts",
        title="casts and quantising of activations",
        test="conversions:casts",
    ),
    Hypothesis(
        cause="int8_without_gain",
        title="int8 layers that are slower than float ones",
        test="int8_without_gain:int8_without_gain",
    ),
)
