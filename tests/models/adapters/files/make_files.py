"""Write the small files of formats whose writer is not installed beside the tests: TensorFlow's.

Run it where tensorflow is installed: `python tests/models/adapters/files/make_files.py`. Each file is a dense layer of
4 inputs and 3 outputs with the weights `WEIGHTS` and the bias `BIAS`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf  # type: ignore[import-untyped, unused-ignore]

FOLDER = Path(__file__).parent
WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 10 - 0.5
BIAS = np.array([0.1, -0.2, 0.3], dtype=np.float32)


class Dense(tf.Module):  # type: ignore[misc]
    """The layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weights, self.bias = tf.Variable(WEIGHTS), tf.Variable(BIAS)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": tf.matmul(x, self.weights) + self.bias}


def samples() -> Iterator[list[np.ndarray]]:
    generator = np.random.default_rng(0)
    for _ in range(100):
        yield [generator.uniform(-1, 1, (1, 4)).astype(np.float32)]


def lite(folder: Path, *, quantised: bool) -> bytes:
    """Return the content of a .tflite file."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    if quantised:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def main() -> None:
    layer, folder = Dense(), FOLDER / "dense_savedmodel"
    shutil.rmtree(folder, ignore_errors=True)
    tf.saved_model.save(layer, str(folder), signatures={"serving_default": layer.serve})
    (folder / "fingerprint.pb").unlink(missing_ok=True)
    shutil.rmtree(folder / "assets", ignore_errors=True)
    (FOLDER / "dense.tflite").write_bytes(lite(folder, quantised=False))
    (FOLDER / "dense_int8.tflite").write_bytes(lite(folder, quantised=True))
    fixed = tf.function(lambda x: {"logits": tf.matmul(x, WEIGHTS) + BIAS})
    concrete = fixed.get_concrete_function(tf.TensorSpec([1, 4], tf.float32, name="x"))
    (FOLDER / "dense_fixed.tflite").write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


if __name__ == "__main__":
    main()
