"""What the collectives of a train step cost.

python -m benchmarks.collectives --config=configs/default.py --feature_width=1024 --devices=8 --gigabytes_per_second=300
"""

from absl import app, flags
from ml_collections import config_flags

from benchmarks.exchanged_bytes import exchanged_bytes, ring_seconds
from contextloc_jax.commands.settings import read_settings
from contextloc_jax.workdir.config_file import flatten

config_flags.DEFINE_config_file("config", "configs/default.py", "A file of configs/.")
flags.DEFINE_integer("feature_width", 1024, "Width of the snippet features.", lower_bound=1)
flags.DEFINE_integer("devices", 8, "Number of devices in the mesh.", lower_bound=2)
flags.DEFINE_float("gigabytes_per_second", 300, "Speed of the link between two neighboring devices.", lower_bound=1e-3)


def main(arguments: list[str]) -> None:
    del arguments
    asked = flags.FLAGS
    found = exchanged_bytes(read_settings(flatten(asked.config)).model, asked.feature_width, asked.devices)
    for name, size in [*found.items(), ("together", sum(found.values()))]:
        seconds = ring_seconds(size, asked.devices, asked.gigabytes_per_second * 1e9)
        print(f"{name:40} {size / 1e6:9.3f} MB  {1e3 * seconds:8.3f} ms")


if __name__ == "__main__":
    app.run(main)
