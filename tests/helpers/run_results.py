"""What a run left in its workdir, to compare with what another left."""

import jax

from contextloc_jax.workdir.checkpoints import Checkpoints

RESULTS = ("scores.npz", "detections.json", "metrics.json", "diagnosis.json", "report.html")


def restored(workdir, which="latest") -> dict:
    """The state of a checkpoint."""
    return Checkpoints(workdir).restore(which).state


def assert_identical(a, b) -> None:
    """Two trees have the same names, types and bits."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, left), right in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True):
        assert left.dtype == right.dtype and left.tobytes() == right.tobytes(), jax.tree_util.keystr(path)


def contents(workdir, names=RESULTS) -> dict[str, bytes]:
    """The bytes of these files."""
    return {name: (workdir / name).read_bytes() for name in names}
