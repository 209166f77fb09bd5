"""The footprint pillar: what the student occupies."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import NONNEGATIVE, SHARE, Kpi


def _counted(name: str, unit: str, better: str, definition: str, bounds: tuple[float, float] = NONNEGATIVE) -> Kpi:
    return Kpi(
        name=name,
        pillar="footprint",
        unit=unit,
        better=better,
        definition=definition,
        method="counted; shared weights once, packed quantised weights in full, buffers apart",
        source="torch.nn.Module.parameters",
        probe="parameters",
        derive=f"derive_footprint:{name}",
        bounds=bounds,
    )


KPIS = (
    _counted("parameters", "", "lower", "number of parameters"),
    _counted("nonzero_parameters", "", "lower", "number of parameters that are not zero, pruning masks applied"),
    _counted("sparsity", "%", "higher", "share of parameters that are zero, pruning masks applied", SHARE),
    Kpi(
        name="size_on_disk",
        pillar="footprint",
        unit="B",
        better="lower",
        definition="size of the artefact as deployed",
        method="for a module in memory, its state_dict saved as safetensors, or by torch.save where it holds "
        "non-tensors; for an estimator, as joblib dumps it",
        source="safetensors.torch.save_model",
        probe="artefact",
        derive="derive_footprint:size_on_disk",
    ),
)
