"""The footprint pillar: what the student occupies."""

from __future__ import annotations

from pytest_modelbench.kpis.kpi import NONNEGATIVE, ROOM, SHARE, Kpi
from pytest_modelbench.probes.kinds import ARTEFACT, ENERGY, LAUNCH, PARAMETERS, TOKEN_ENERGY


def _counted(name: str, unit: str, better: str, definition: str, bounds: tuple[float, float] = NONNEGATIVE) -> Kpi:
    return Kpi(
        name=name,
        pillar="footprint",
        unit=unit,
        better=better,
        definition=definition,
        method="counted; shared weights once, packed quantised weights in full, weights in buffers, attributes, "
        "closures and constants too; statistics, positions and masks apart",
        source="torch.nn.Module.parameters",
        probe=PARAMETERS,
        derive=f"{ROOM}.footprint.counts:{name}",
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
        "non-tensors, with the weights that it lacks; for an estimator, as joblib dumps it",
        source="safetensors.torch.save_model",
        probe=ARTEFACT,
        derive=f"{ROOM}.footprint.counts:size_on_disk",
    ),
    Kpi(
        name="peak_memory",
        pillar="footprint",
        unit="B",
        better="lower",
        definition="most resident memory that loading and running the model adds in a fresh process, at batch_size=1 "
        "unless stated",
        method="the test again in a fresh process, which builds one model twice and runs batches through it: what "
        "the second build adds, with its resolution, over 1 to 3 processes; high-water mark of the kernel on Linux, "
        "sampled every 2 ms elsewhere",
        source="Documentation/filesystems/proc.rst of Linux (clear_refs, VmHWM)",
        probe=LAUNCH,
        derive=f"{ROOM}.footprint.launch:peak_memory",
        options={"batch_size": 1},
    ),
    Kpi(
        name="peak_gpu_memory",
        pillar="footprint",
        unit="B",
        better="lower",
        definition="most memory of its GPU that the model's tensors take in a fresh process, loaded and run at "
        "batch_size=1 unless stated",
        method="as peak_memory; what the caching allocator reserved is stated beside it",
        source="torch.cuda.max_memory_allocated, torch.cuda.max_memory_reserved",
        probe=LAUNCH,
        derive=f"{ROOM}.footprint.launch:peak_gpu_memory",
        options={"batch_size": 1},
    ),
    Kpi(
        name="hardware_tier",
        pillar="footprint",
        unit="tier",
        better="lower",
        definition="smallest hardware tier whose memory holds the model's peak memory, on its GPU where it is on "
        "one, times headroom= (1.2)",
        method="peak_memory or peak_gpu_memory, and the table of tiers; the ini value modelbench_tiers replaces it",
        source="the makers' data sheets",
        probe=LAUNCH,
        derive=f"{ROOM}.footprint.launch:hardware_tier",
        options={"batch_size": 1, "headroom": 1.2},
    ),
    *(
        Kpi(
            name=name,
            pillar="footprint",
            unit=unit,
            better="lower",
            definition=definition,
            method="windows of --modelbench-energy-window seconds, both models in turn, the idle machine between "
            "them subtracted; processor and GPU, constant power of memory left out; Student's interval over rounds",
            source=source,
            probe=TOKEN_ENERGY if name == "energy_per_1k_tokens" else ENERGY,
            needs_grid=name == "carbon_per_1m",
            derive=f"{ROOM}.footprint.energy:{name}",
            options={"batch_size": 1, "allow_estimated": False, "confidence": None},
        )
        for name, unit, definition, source in (
            ("energy_per_1k", "Wh", "energy above idle of 1,000 inferences", "CodeCarbon"),
            (
                "energy_per_1k_tokens",
                "Wh",
                "energy above idle of 1,000 output tokens of all rows of a batch, that of the prompts included",
                "CodeCarbon",
            ),
            ("power", "W", "mean power above idle while the model runs without a pause", "CodeCarbon"),
            (
                "carbon_per_1m",
                "kg",
                "CO2 equivalents of a million inferences, by energy above idle and the grid of --modelbench-country",
                "CodeCarbon and its data of the energy mix of countries",
            ),
        )
    ),
)
