"""contextloc_jax on the command line: train, evaluate, score, fuse and more (README.md shows them all).

python main.py --config=configs/shoulder.py --workdir=runs/shoulder
"""

from contextloc_jax.command_line import entry

if __name__ == "__main__":
    entry()
